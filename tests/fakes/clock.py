"""A clock that tests turn."""

from __future__ import annotations


class FakeClock:
    """Stands still until it is turned."""

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self._now = now

    def now(self) -> float:
        """Return seconds since 1970."""
        return self._now

    def turn(self, seconds: float) -> None:
        """Move on."""
        self._now += seconds
