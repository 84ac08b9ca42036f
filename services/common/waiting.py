"""Waiting for an event or a time, and for the end of tasks."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Iterable
from typing import Any


async def end(tasks: Iterable[asyncio.Future[Any]]) -> None:
    """Cancel tasks until they have ended.

    Once is not enough: nats-py waits with asyncio.wait_for, which in Python 3.11 loses a cancellation that comes
    together with the answer, and the task would go on for ever.
    """
    while left := [task for task in tasks if not task.done()]:
        for task in left:
            task.cancel()
        await asyncio.wait(left, timeout=0.3)


async def all_of(work: Iterable[Awaitable[Any]]) -> None:
    """Do several things at once and wait for each, also where another fails; then raise the first failure."""
    for done in await asyncio.gather(*work, return_exceptions=True):
        if isinstance(done, BaseException):
            raise done


async def event_or_time(event: asyncio.Event, seconds: float) -> None:
    """Return once the event is set, or after some seconds.

    asyncio.wait_for of Python 3.11 loses a cancellation that comes together with the event; asyncio.timeout does not.
    """
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
