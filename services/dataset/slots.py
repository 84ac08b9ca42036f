"""Slots: whoever calls an endpoint takes one, and waits where the endpoint's pace or this replica's share says so."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from services.dataset.core.pace import Pace

ENOUGH = 20
"""Answers from which on it is said whether the limit held calls back."""


@dataclass
class Past:
    """What came of an endpoint's calls in this process.

    Args:
        answers: calls that were answered.
        full: of them, those that were in flight together with as many as may ever be.
        refused: calls that the server had no room for, or was too late with.
    """

    answers: int = 0
    full: int = 0
    refused: int = 0

    def held_back(self, before: Past) -> bool:
        """Whether since then most calls were as many at once as may be, and the server refused none of them."""
        answers, full = self.answers - before.answers, self.full - before.full
        return answers >= ENOUGH and 2 * full >= answers and self.refused == before.refused


class Slot:
    """One call's right to be in flight; it says what came of it."""

    def __init__(self, slots: Slots) -> None:
        self._slots = slots
        self._at_once = slots.in_flight
        self._began = time.monotonic()

    def answered(self) -> None:
        """The server answered."""
        slots, at_once = self._slots, max(self._at_once, self._slots.in_flight)
        slots.past.answers += 1
        slots.past.full += at_once >= slots.pace.ceiling
        slots.pace.answered(at_once)

    def refused(self, retry_after: float, late: bool) -> None:
        """The server had no room, or was too late."""
        slots = self._slots
        slots.past.refused += 1
        slots.pace.refused(time.monotonic(), self._began, slots.in_flight, retry_after, late)


class Slots:
    """The slots of one endpoint in this process, given in the order of asking.

    Args:
        share: calls that this replica may have in flight, until `allow` says otherwise.
    """

    def __init__(self, pace: Pace, share: int) -> None:
        self.pace = pace
        self.past = Past()
        self._share = share
        self._until = float("inf")
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self.in_flight = 0

    def wanted(self) -> bool:
        """Whether a call is in flight or waits."""
        return self.in_flight > 0 or any(not turn.done() for turn in self._waiting)

    def lower(self, share: int) -> None:
        """Begin no call from now on that would be more than so many; what is in flight stays so."""
        self._share = min(self._share, share)

    def allow(self, share: int, until: float) -> None:
        """Have so many calls in flight, and begin none after that time (of time.monotonic)."""
        self._share, self._until = share, until
        self._wake()

    @asynccontextmanager
    async def one(self) -> AsyncIterator[Slot]:
        """Hold a slot for a call."""
        await self._taken()
        try:
            yield Slot(self)
        finally:
            self.in_flight -= 1
            self._wake()

    async def _taken(self) -> None:
        if not self._waiting and self._free():
            self.in_flight += 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        self._wake()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.in_flight -= 1
                self._wake()
            raise

    def _free(self) -> bool:
        room = self.in_flight < min(self.pace.limit, self._share)
        return room and self.pace.resume_at <= time.monotonic() < self._until

    def _wake(self) -> None:
        while self._waiting and self._free():
            turn = self._waiting.popleft()
            if not turn.done():
                self.in_flight += 1
                turn.set_result(None)
        pause = self.pace.resume_at - time.monotonic()
        if self._waiting and pause > 0 and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(pause, self._timed)

    def _timed(self) -> None:
        self._timer = None
        self._wake()
