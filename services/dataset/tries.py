"""Calls that fail and are made again, and whose fault it is where that does not help: the server's or the call's."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from services.common.errors import Unavailable
from services.dataset.absence import Absence
from services.dataset.slots import Slots

TRIES = 5
"""Calls made for one reply, at least where there is patience, else at most; one more after a probe is answered."""
BACKOFF_SECONDS = 0.5
"""Pause after the first failure; doubled after each, with full jitter (Brooker, "Exponential Backoff And Jitter")."""
MAX_PAUSE_SECONDS = 30.0

Answered = TypeVar("Answered")


class CallRefused(Unavailable):
    """The server refuses a call for good, or fails at it and answers others. It may take those: see refusals."""

    def __init__(self, words: str) -> None:
        super().__init__(words, reason="LLM_UNAVAILABLE")


class Again(Exception):
    """This call failed in a way that another may not.

    Args:
        pause: seconds that the server asks for, or 0.
        busy: whether the server had no room for it.
        late: whether it ran into its time limit.
    """

    def __init__(self, words: str, pause: float = 0, busy: bool = False, late: bool = False) -> None:
        super().__init__(words)
        self.pause = min(pause, MAX_PAUSE_SECONDS)
        self.busy = busy
        self.late = late


class Tries:
    """Makes the calls of one endpoint, each in a slot, and again where it fails.

    Args:
        told: makes a message of what the server gave, and of what may be wrong or "".
        before: called before each try.
    """

    def __init__(
        self,
        slots: Slots,
        absence: Absence,
        backoff_seconds: float,
        told: Callable[[str, str], str],
        before: Callable[[], None],
    ) -> None:
        self._slots = slots
        self._absence = absence
        self._backoff_seconds = backoff_seconds
        self._told = told
        self._before = before
        self._answers: Counter[str] = Counter()

    async def insisted(
        self,
        path: str,
        call: Callable[[int], Awaitable[Answered]],
        probe: Callable[[int], Awaitable[Answered]],
        patience: float,
    ) -> tuple[Answered, int]:
        """Make a call, which gets the number of those that failed before, until it is answered.

        Args:
            path: what is called: only calls of the same path tell something of each other.
            probe: makes a call of a few words, which any server answers that is there; the call then has one more try.
            patience: seconds that it is tried for, after TRIES.

        Returns: the answer, and how many of those that failed ran into their time limit.

        Raises:
            CallRefused: it failed each time, while the server answers others.
            Unavailable: LLM_UNAVAILABLE.
        """
        began, attempt, late, answers = time.monotonic(), 0, 0, self._answers[path]
        while True:
            self._before()
            try:
                return await self._tried(path, call, attempt), late
            except Again as error:
                attempt, late = attempt + 1, late + error.late
                others, answers = self._answers[path] > answers, self._answers[path]
                self._absence.failed(str(error), began + patience - time.monotonic())
                if attempt >= TRIES and time.monotonic() - began >= patience:
                    words = f"{error}, {attempt} times in a row"
                    # A server that has no room says nothing of the call.
                    if others and not error.busy:
                        raise CallRefused(self._told(words, "It answers other calls: see its log.")) from error
                    if error.busy or not await self._answers_one(path, probe):
                        raise Unavailable(self._told(words, ""), reason="LLM_UNAVAILABLE") from error
                    continue  # It may be back since: if the call fails again, the probe's answer is another's.
                longest = self._backoff_seconds * 2 ** min(attempt - 1, 16)
                pause = error.pause or random.uniform(0, min(longest, MAX_PAUSE_SECONDS))  # noqa: S311 - jitter
            await asyncio.sleep(pause)

    async def _tried(self, path: str, call: Callable[[int], Awaitable[Answered]], attempt: int) -> Answered:
        """Make a call when there is a slot for it, and let the endpoint's pace know what came of it."""
        async with self._slots.one() as slot:
            try:
                reply = await call(attempt)
            except Again as error:
                if error.busy or error.late:
                    slot.refused(error.pause, error.late)
                raise
            slot.answered()
            self._absence.answered()
            self._answers[path] += 1
            return reply

    async def _answers_one(self, path: str, probe: Callable[[int], Awaitable[Any]]) -> bool:
        self._before()
        try:
            await self._tried(path, probe, 0)
        except (Again, Unavailable):
            return False
        return True
