"""How many calls a server is asked at once: found by trying, and taken back when it says that it is too many.

Additive increase, multiplicative decrease (Chiu and Jain, 1989), with a memory: a limit that was found is tried again
only once in many calls, so that hardly a call is wasted on knowing it.
"""

from __future__ import annotations

GROWTH = 0.25
"""Added for each answer until the server first refuses: a quarter more with every round of answers."""
SHRINK = 0.7
TOO_LATE = 0.5
"""Left when calls run into their time limit: a server that queues is far beyond what it can do."""
HOLD = 150
"""Answers after which a limit that was found is tried again; twice as many after each time that it held."""
MOST_HOLD = 2400


class Pace:
    """The limit of calls in flight to one server. Pure: whoever makes the calls tells it what came of them, and when.

    Args:
        ceiling: most calls in flight ever.
        start: calls in flight at first.
    """

    def __init__(self, ceiling: int, start: int) -> None:
        self._ceiling = ceiling
        self._exact = float(min(start, ceiling))
        self._slowed = float("-inf")
        self._edge = 0
        self._hold = 0
        self._held = HOLD
        self._answers = 0
        self.resume_at = float("-inf")

    @property
    def limit(self) -> int:
        """Calls that may be in flight now, at least 1."""
        return max(1, int(self._exact))

    @property
    def found(self) -> int:
        """Calls in flight that the server was found to take; 0 before it refused any."""
        return self.limit if self._edge else 0

    def scale(self, factor: float) -> None:
        """Make what was found so many times as large, as when others begin or end to call the same server."""
        if self._edge:
            self._exact = min(float(self._ceiling), max(1.0, self._exact * factor))
            self._edge = max(1, round(self._edge * factor))

    def take_over(self, found: int) -> None:
        """Begin with a limit that others found."""
        self._exact = float(min(found, self._ceiling))
        self._edge = self.limit

    def answered(self, at_once: int) -> None:
        """Note an answer; at_once: calls in flight when that call began, itself included."""
        # Calls that did not fill the limit say nothing of what lies above it.
        if at_once < 0.9 * self.limit:
            return
        self._answers += 1
        if not self._edge:
            self._exact = min(self._ceiling, self._exact + GROWTH)
        elif self._answers >= max(self._hold, self.limit):
            self._answers, self._hold = 0, 0
            self._exact = min(self._ceiling, self.limit + 1)

    def refused(self, now: float, began: float, at_once: int, retry_after: float = 0, late: bool = False) -> None:
        """Note a call that was refused for want of capacity.

        Calls that were under way when the last one was noted say nothing new.

        Args:
            retry_after: seconds in which nobody is to call.
            late: whether it ran into its time limit.
        """
        self.resume_at = max(self.resume_at, now + retry_after)
        if began <= self._slowed:
            return
        level = max(1, min(at_once, self.limit))
        again = abs(level - self._edge) <= max(1, 0.05 * self._edge)
        in_a_row = bool(self._edge) and self._answers < level / 2 and not again
        self._hold = self._held = min(self._held * 2, MOST_HOLD) if again else HOLD
        self._edge, self._answers, self._slowed = level, 0, now
        self._exact = max(1.0, level * TOO_LATE if late else level * SHRINK if in_a_row else level - 1)
