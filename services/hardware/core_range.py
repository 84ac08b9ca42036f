"""Quantities that are not known yet: low, likely, high."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Range:
    """Nearly always at least `low`, most likely `likely`, nearly always at most `high`."""

    low: float
    likely: float
    high: float

    @staticmethod
    def exactly(value: float) -> Range:
        """Return a quantity that is known."""
        return Range(value, value, value)

    def times(self, factor: float) -> Range:
        """Return it so many times."""
        return Range(self.low * factor, self.likely * factor, self.high * factor)

    def within(self, factor: float) -> Range:
        """Return it with ends that are so many times further out, 1 or more."""
        return Range(self.low / factor, self.likely, self.high * factor)

    def map(self, of: Callable[[float], float]) -> Range:
        """Return what it means for something that follows from it."""
        low, likely, high = of(self.low), of(self.likely), of(self.high)
        return Range(min(low, likely), likely, max(likely, high))
