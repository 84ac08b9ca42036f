"""Rules about the settings of a training: defaults and ranges. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from services.common.errors import InvalidArgument

Settings = dict[str, Any]


@dataclass(frozen=True)
class Number:
    """A numeric setting: its default and its range.

    Args:
        low: smallest value; left out itself if above is set.
        high: largest value.
    """

    default: float
    low: float
    high: float
    above: bool = False

    def allows(self, value: float) -> bool:
        """Whether a value is in range."""
        return math.isfinite(value) and value <= self.high and (value > self.low if self.above else value >= self.low)

    def words(self) -> str:
        """Return the range as words."""
        return f"over {self.low:g} and at most {self.high:g}" if self.above else f"{self.low:g} to {self.high:g}"


# Defaults: TRL's SFTConfig where it serves; otherwise the reason stands beside it.
NUMBERS: Mapping[str, Number] = {
    # Ten times TRL's default, as is usual for LoRA ("LoRA Without Regret", Schulman et al. 2025).
    "learning_rate": Number(2e-4, 0, 1, above=True),
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
}
LORA_NUMBERS: Mapping[str, Number] = {
    "r": Number(8, 1, 1024),
    "lora_alpha": Number(16, 0, 65536, above=True),
    "lora_dropout": Number(0, 0, 0.9),
}
FLAGS: Mapping[str, bool] = {"packing": False, "assistant_only_loss": True, "gradient_checkpointing": False}
SCHEDULERS = (
    "linear",
    "cosine",
    "constant",
    "constant_with_warmup",
    "polynomial",
    "cosine_with_min_lr",
    "inverse_sqrt",
)
OPTIMIZERS = ("adamw_torch", "adamw_torch_fused", "adafactor", "sgd")
WHOLE = frozenset(
    {"max_steps", "per_device_train_batch_size", "gradient_accumulation_steps", "max_length", "seed", "logging_steps",
     "save_steps", "save_total_limit", "r"}
)  # fmt: skip


def complete(given: Settings, *, context_length: int, bf16_available: bool) -> Settings:
    """Return settings with every default filled in.

    Args:
        given: the settings that were chosen, by the contract's names; lora is a dict of its own.
        context_length: the model's longest context, in tokens; 0 when not known.
        bf16_available: whether the hardware computes in bfloat16.

    Raises:
        InvalidArgument: a setting is out of range; the message names it and the range.
    """
    settings: Settings = {"method": "METHOD_LORA"}
    for name, number in NUMBERS.items():
        settings[name] = _number(given, name, number, f"config.{name}")
    for name, default in FLAGS.items():
        settings[name] = bool(given.get(name, default))
    settings["bf16"] = bool(given.get("bf16", bf16_available))
    settings["lr_scheduler_type"] = _choice(given, "lr_scheduler_type", "cosine", SCHEDULERS)
    settings["optim"] = _choice(given, "optim", "adamw_torch", OPTIMIZERS)
    lora = given.get("lora", {})
    settings["lora"] = {name: _number(lora, name, n, f"config.lora.{name}") for name, n in LORA_NUMBERS.items()}
    settings["lora"]["use_rslora"] = bool(lora.get("use_rslora", False))
    settings["lora"]["target_modules"] = list(lora.get("target_modules", [])) or ["all-linear"]
    if context_length and "max_length" not in given:
        settings["max_length"] = min(settings["max_length"], context_length)
    if context_length and settings["max_length"] > context_length:
        raise InvalidArgument(
            f"max_length is {settings['max_length']}, the model's context {context_length} tokens. Use at most that.",
            field="config.max_length",
        )
    if settings["max_steps"] == 0:
        raise InvalidArgument("max_steps is 0. Use 1 or more, or -1 for num_train_epochs.", field="config.max_steps")
    return settings


def _number(given: Mapping[str, Any], name: str, number: Number, field: str) -> float | int:
    value = given.get(name, number.default)
    value = int(value) if name in WHOLE else float(value)
    if not number.allows(value):
        raise InvalidArgument(f"{name} is {value:g}. Use {number.words()}.", field=field)
    return value


def _choice(given: Mapping[str, Any], name: str, default: str, choices: tuple[str, ...]) -> str:
    value = str(given.get(name, default))
    if value not in choices:
        raise InvalidArgument(f'{name} is "{value[:80]}". Use one of {", ".join(choices)}.', field=f"config.{name}")
    return value
