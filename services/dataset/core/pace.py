"""How many calls a server is asked at once: found by trying, and taken back when it says that it is too many.

Slow start as in TCP (RFC 5681), then additive increase and multiplicative decrease (Chiu and Jain, 1989) with a memory:
a limit that was found is tried again only once in many calls, so that hardly a call is wasted on knowing it. Each call
that is refused takes one off what was in flight: where many answers came at the same moment, and twice as many calls
followed them, what is left is what the server took.
"""

from __future__ import annotations

GROWTH = 1
"""Added for each answer until the server first refuses: twice as many with every round of answers."""
SHRINK = 0.7
TOO_LATE = 0.5
"""Left when calls run into their time limit: a server that queues is far beyond what it can do."""
HOLD = 150
"""Answers after which one more than the limit that was found is tried; twice as many after each time that the limit
held. Where the server takes more, two more are tried next, then four: so a limit that fell in a bad hour comes back."""
MOST_HOLD = 2400


class Pace:
    """The limit of calls in flight to one server. Pure: whoever makes the calls tells it what came of them, and when.

    Args:
        ceiling: most calls in flight ever.
        start: calls in flight at first.
    """

    def __init__(self, ceiling: int, start: int) -> None:
        self.ceiling = ceiling
        self._exact = float(min(start, ceiling))
        self._slowed = float("-inf")
        self._edge = 0
        self._hold = 0
        self._held = HOLD
        self._answers = 0
        self._step = 1
        self._least = 1.0
        self.resume_at = float("-inf")

    @property
    def limit(self) -> int:
        """Calls that may be in flight now, at least 1."""
        return max(1, int(self._exact))

    @property
    def found(self) -> int:
        """Calls in flight that the server was found to take; 0 before it refused any."""
        return self.limit if self._edge else 0

    def bound(self, ceiling: int, start: int) -> None:
        """Let another number be the most ever; what the server was found to take stays, as far as it is within it."""
        self.ceiling = ceiling
        least = 0.0 if self._edge else float(min(start, ceiling))
        self._exact = max(min(self._exact, float(ceiling)), least)

    def scale(self, factor: float) -> None:
        """Make what was found so many times as large, as when others begin or end to call the same server."""
        if self._edge:
            self._exact = min(float(self.ceiling), max(1.0, self._exact * factor))
            self._edge = max(1, round(self._edge * factor))

    def take_over(self, found: int) -> None:
        """Begin with a limit that others found."""
        self._exact = float(min(found, self.ceiling))
        self._edge = self.limit

    def answered(self, at_once: int) -> None:
        """Note an answer.

        Args:
            at_once: calls in flight when that call began or when it ended, itself included, whichever were more.
        """
        # Calls that did not fill the limit say nothing of what lies above it.
        if at_once < 0.9 * self.limit:
            return
        self._answers += 1
        if not self._edge:
            self._exact = min(self.ceiling, self._exact + GROWTH)
        elif self._answers >= max(self._hold, self.limit):
            self._answers, self._hold = 0, 0
            self._exact = min(self.ceiling, self.limit + self._step)
            self._step *= 2

    def refused(self, now: float, began: float, at_once: int, retry_after: float = 0, late: bool = False) -> None:
        """Note a call that was refused for want of capacity.

        Args:
            at_once: calls in flight now, itself included.
            retry_after: seconds in which nobody is to call.
            late: whether it ran into its time limit.
        """
        self.resume_at = max(self.resume_at, now + retry_after)
        if began <= self._slowed:
            # It was under way when the last one was noted, and is one more that is too many.
            if not late and at_once <= self._exact:
                self._exact = max(self._least, at_once - 1)
                self._edge = self.limit + 1
            return
        level = max(1, min(at_once, self.limit))
        again = abs(level - self._edge) <= max(1, 0.05 * self._edge)
        in_a_row = bool(self._edge) and self._step == 1 and self._answers < level / 2 and not again
        self._hold = self._held = min(self._held * 2, MOST_HOLD) if again else HOLD
        self._edge, self._answers, self._slowed, self._step = level, 0, now, 1
        self._exact = max(1.0, level * TOO_LATE if late else level * SHRINK if in_a_row else level - 1)
        self._least = max(1.0, level * TOO_LATE)
