"""Rules about the settings of a training: defaults and ranges. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from services.common.errors import InvalidArgument
from services.common.objectives import comparing_rate
from services.common.packages import Installed
from services.common.trackers import check_names
from services.training import core_during
from services.training.core_methods import FULL, LEARNING_RATES, adapter, method, require_no_adapter
from services.training.core_names import kernels, optimizer, scheduler
from services.training.core_numbers import Number, number
from services.training.core_objectives import (
    MASKS,
    PRETRAIN,
    SFT,
    check_together,
    objective_of,
    preferring,
)

Settings = dict[str, Any]


# Defaults: TRL's SFTConfig where it serves; otherwise the reason stands beside it.
NUMBERS: Mapping[str, Number] = {
    # The default is the method's.
    "learning_rate": Number(0, 0, 1, above=True),
    "num_train_epochs": Number(3, 0, 1000, above=True),
    "max_steps": Number(-1, -1, 10_000_000),
    # Small, so that the default fits a laptop; accumulation restores the batch.
    "per_device_train_batch_size": Number(2, 1, 1024),
    "gradient_accumulation_steps": Number(2, 1, 1024),
    "max_length": Number(512, 16, 1_048_576),
    "warmup_ratio": Number(0.1, 0, 1),
    "weight_decay": Number(0, 0, 1),
    "max_grad_norm": Number(1, 0, 1000),
    "seed": Number(42, 0, 2**32 - 1),
    "logging_steps": Number(1, 1, 10_000),
    "save_steps": Number(50, 1, 1_000_000),
    "save_total_limit": Number(2, 1, 100),
    "num_eval_answers": Number(24, 0, 1000),
    "max_forgetting": Number(0.5, 0, 100),
    # One in ten may be an outlier; with more, answers that break off are what is learnt.
    "max_truncated": Number(0.1, 0, 1),
}
_OPEN: Mapping[str, Number] = {"neftune_noise_alpha": Number(0, 0, 100, above=True)}
OPEN = frozenset({*_OPEN, *core_during.OPEN, "report_to"})
"""Numbers that stay unset where they are not given."""
FLAGS: Mapping[str, bool] = {
    "packing": False,
    "assistant_only_loss": True,
    "completion_only_loss": False,
    "gradient_checkpointing": False,
}


def complete(
    given: Settings,
    *,
    context_length: int,
    bf16_available: bool,
    gpu: bool = False,
    installed: Installed = lambda package: False,
) -> Settings:
    """Return settings with every default filled in.

    Args:
        given: the settings that were chosen, by the contract's names; lora is a dict of its own.
        context_length: the model's longest context, in tokens; 0 when not known.
        bf16_available: whether the hardware computes in bfloat16.
        gpu: whether the run has one.
        installed: whether a package that the trainer does not bring is there all the same.

    Raises:
        InvalidArgument: a setting is out of range, or two exclude each other; the message names them.
    """
    trained, objective = method(given), objective_of(given)
    settings: Settings = {"method": trained, "objective": objective, **preferring(given)}
    rate = LEARNING_RATES[trained] if objective in (SFT, PRETRAIN) else comparing_rate(trained == FULL)
    given = {"learning_rate": rate, **MASKS[objective], **given}
    for name, rule in NUMBERS.items():
        settings[name] = number(given, name, rule, f"config.{name}")
    for name, rule in _OPEN.items():
        if name in given:
            settings[name] = number(given, name, rule, f"config.{name}")
    for name, default in FLAGS.items():
        settings[name] = bool(given.get(name, default))
    settings |= core_during.watched(given, int(settings["save_steps"]))
    settings["bf16"] = bool(given.get("bf16", bf16_available))
    settings["lr_scheduler_type"] = scheduler(str(given.get("lr_scheduler_type", "cosine")))
    settings["optim"] = optimizer(str(given.get("optim", "adamw_torch")), installed)
    settings |= kernels(given, installed, gpu)
    if trained == FULL:
        require_no_adapter(given.get("lora", {}))
    else:
        settings["lora"] = adapter(given.get("lora", {}), trained)
    if context_length and "max_length" not in given:
        settings["max_length"] = min(settings["max_length"], context_length)
    if context_length and settings["max_length"] > context_length:
        raise InvalidArgument(
            f"max_length is {settings['max_length']}, the model's context {context_length} tokens. Use at most that.",
            field="config.max_length",
        )
    if settings["max_steps"] == 0:
        raise InvalidArgument("max_steps is 0. Use 1 or more, or -1 for num_train_epochs.", field="config.max_steps")
    if reported := check_names(list(given.get("report_to", []))):
        settings["report_to"] = reported
    check_together(settings)
    return settings
