"""Waiting for an event or a time."""

from __future__ import annotations

import asyncio
import contextlib


async def event_or_time(event: asyncio.Event, seconds: float) -> None:
    """Return once the event is set, or after some seconds.

    asyncio.wait_for of Python 3.11 loses a cancellation that comes together with the event; asyncio.timeout does not.
    """
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
