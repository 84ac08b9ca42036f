"""Rules about beginning from a checkpoint: what has to be the same. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from services.training.core import complete
from services.training.core_methods import LORA
from services.training.core_objectives import SFT

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
_LORA = "config.lora."
_NO_SHAPE = frozenset({_LORA + "lora_dropout"})


def differences(old: Mapping[str, Any], new: Mapping[str, Any], *, weights_only: bool) -> list[str]:
    """Return what keeps a run from beginning with a checkpoint of another: "config.lora.r (8, here 16)".

    Args:
        old: the run that the checkpoint is of, as stored.
        new: the run to be, complete.
        weights_only: whether only the weights are taken over, so that only their shape and meaning count.
    """
    before, after = dict(_facts(_filled(old, new))), dict(_facts(new))
    adapters = _LORA + "r" in before and _LORA + "r" in after
    names = [name for name in dict.fromkeys((*after, *before)) if adapters or not name.startswith(_LORA)]
    if weights_only:
        names = [name for name in names if name in _SHAPE or (name.startswith(_LORA) and name not in _NO_SHAPE)]
    found = [(name, before.get(name), after.get(name)) for name in names if before.get(name) != after.get(name)]
    return [f"{name} ({_words(was)}, here {_words(is_now)})" for name, was, is_now in found]


def _filled(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Return a run with the defaults of settings that were not there when it was stored."""
    known, config = old["config"], new["config"]
    asked = {"method": config["method"], "objective": config["objective"]}
    defaults = {**complete(asked, context_length=0, bf16_available=False), "method": LORA, "objective": SFT}
    lora = defaults.pop("lora", {})
    settings = {**defaults, **known}
    if "lora" in known:
        settings["lora"] = {**lora, **known["lora"]}
    return {**old, "config": settings}


def _facts(run: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield what has to be the same."""
    for name in ("model", "model_revision", "dataset", "dataset_version", "dataset_sha256"):
        yield name, run[name]
    for name, value in run["config"].items():
        if name == "lora":
            yield from ((_LORA + inner, setting) for inner, setting in value.items())
        elif name not in FREE:
            yield f"config.{name}", value
    resources = run.get("resources", {})
    yield "resources.gpus", resources.get("gpus")
    yield "resources.nodes", resources.get("nodes", 1)


def _words(value: Any) -> str:
    if value is None:
        return "unset"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
