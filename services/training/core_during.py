"""Rules about what is looked at while a training goes on: evaluations and the best of them, the loss. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from services.common.errors import InvalidArgument
from services.training.core_numbers import Number, number
from services.training.core_objectives import DPO, KTO, objective_of

_LOSS, _TOKENS, _RIGHT, _MARGIN = (
    "eval_loss",
    "eval_mean_token_accuracy",
    "eval_rewards/accuracies",
    "eval_rewards/margins",
)
_METRICS: Mapping[str, tuple[str, ...]] = {DPO: (_LOSS, _RIGHT, _MARGIN), KTO: (_LOSS, _MARGIN)}
"""What an evaluation while training may choose by; TRL's KTOTrainer counts no accuracy."""
_OF_ANSWERS = (_LOSS, _TOKENS)
OPEN: Mapping[str, Number] = {
    "eval_steps": Number(0, 1, 1_000_000),
    "early_stopping_patience": Number(0, 1, 1000),
}
_NUMBERS: Mapping[str, Number] = {
    # transformers' EarlyStoppingCallback.
    "early_stopping_threshold": Number(0, 0, 1000),
    # Far above what one batch differs from another by, where twenty steps in a row are.
    "divergence_factor": Number(3, 0, 1000),
    "divergence_patience": Number(20, 1, 10_000),
}


def watched(given: Mapping[str, Any], save_steps: int) -> dict[str, Any]:
    """Return the settings of what is looked at while training, with every default filled in.

    Args:
        given: the settings that were chosen, by the contract's names.
        save_steps: steps between checkpoints.

    Raises:
        InvalidArgument: one is out of range, or one is of evaluations where there are none.
    """
    settings: dict[str, Any] = {name: number(given, name, rule, f"config.{name}") for name, rule in _NUMBERS.items()}
    if 0 < settings["divergence_factor"] <= 1:
        raise InvalidArgument(
            f"divergence_factor is {settings['divergence_factor']:g}. Use more than 1, or 0 for never.",
            field="config.divergence_factor",
        )
    settings |= {n: number(given, n, rule, f"config.{n}") for n, rule in OPEN.items() if n in given}
    settings["load_best_model_at_end"] = bool(given.get("load_best_model_at_end", "early_stopping_patience" in given))
    metric, metrics = str(given.get("metric_for_best_model", _LOSS)), _METRICS.get(objective_of(given), _OF_ANSWERS)
    if metric not in metrics:
        raise InvalidArgument(
            f'metric_for_best_model is "{metric[:80]}". For this objective use one of {", ".join(metrics)}.',
            field="config.metric_for_best_model",
        )
    settings["metric_for_best_model"] = metric
    settings["greater_is_better"] = bool(given.get("greater_is_better", metric != _LOSS))
    if "early_stopping_patience" in settings or settings["load_best_model_at_end"]:
        settings.setdefault("eval_steps", save_steps)
    return settings


def evaluates(settings: Mapping[str, Any]) -> bool:
    """Whether a training is evaluated before its end."""
    return "eval_steps" in settings
