"""Rules about beginning from a checkpoint: what has to be the same. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

FREE = frozenset(
    {
        "num_train_epochs",
        "max_steps",
        "logging_steps",
        "save_steps",
        "save_total_limit",
        "report_to",
        "num_eval_answers",
        "max_forgetting",
        "max_truncated",
        "eval_steps",
        "early_stopping_patience",
        "early_stopping_threshold",
        "load_best_model_at_end",
        "metric_for_best_model",
        "greater_is_better",
        "divergence_factor",
        "divergence_patience",
        "gradient_checkpointing",
    }
)
"""Settings that say how long it trains, and what is looked at meanwhile: the steps done are the same with any."""
_SHAPE = ("model", "model_revision", "config.method")
_NO_SHAPE = frozenset({"config.lora.lora_dropout"})


def differences(old: Mapping[str, Any], new: Mapping[str, Any], *, weights_only: bool) -> list[str]:
    """Return what keeps a run from beginning with a checkpoint of another: "config.lora.r (8, here 16)".

    Args:
        old: the run that the checkpoint is of, as stored.
        new: the run to be, complete.
        weights_only: whether only the weights are taken over, so that only their shape and meaning count.
    """
    before, after = dict(_facts(old)), dict(_facts(new))
    names = [name for name in after if name in before] if not weights_only else _of_weights(before, after)
    found = [(name, before[name], after[name]) for name in names if before[name] != after[name]]
    return [f"{name} ({_words(was)}, here {_words(is_now)})" for name, was, is_now in found]


def _of_weights(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    lora = [name for name in after if name.startswith("config.lora.") and name in before]
    return [*(name for name in _SHAPE if name in before), *(name for name in lora if name not in _NO_SHAPE)]


def _facts(run: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield what has to be the same; what a run from earlier does not say is left out, for it had the default."""
    for name in ("model", "model_revision", "dataset", "dataset_version", "dataset_sha256"):
        yield name, run[name]
    for name, value in run["config"].items():
        if name == "lora":
            yield from ((f"config.lora.{inner}", setting) for inner, setting in value.items())
        elif name not in FREE:
            yield f"config.{name}", value
    resources = run.get("resources", {})
    yield "resources.gpus", resources.get("gpus")
    yield "resources.nodes", resources.get("nodes", 1)


def _words(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
