"""Numbers that are set or have a default, and their ranges. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from services.common.errors import InvalidArgument
from services.common.numerals import plain

WHOLE = frozenset(
    {"max_steps", "per_device_train_batch_size", "gradient_accumulation_steps", "max_length", "seed", "logging_steps",
     "save_steps", "save_total_limit", "num_eval_answers", "r", "eval_steps", "early_stopping_patience",
     "divergence_patience"}
)  # fmt: skip


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
        low, high = plain(self.low), plain(self.high)
        return f"over {low} and at most {high}" if self.above else f"{low} to {high}"


def number(given: Mapping[str, Any], name: str, rule: Number, field: str) -> float | int:
    """Return a setting, or its default.

    Raises:
        InvalidArgument: it is out of range.
    """
    value = given.get(name, rule.default)
    value = int(value) if name in WHOLE else float(value)
    if not rule.allows(value):
        raise InvalidArgument(f"{name} is {plain(value)}. Use {rule.words()}.", field=field)
    return value
