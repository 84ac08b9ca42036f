"""Waiting for what the cluster does in its own time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from tests.cluster.bed.api import AWAY, ApiError

T = TypeVar("T")


async def until(check: Callable[[], Awaitable[T]], what: str, seconds: float = 30, poll: float = 0.1) -> T:
    """Call a check until it returns something true, and return that; an API server that is away counts as false.

    Raises:
        AssertionError: the time is over; it names what was waited for and what the last call gave.
    """
    end = time.monotonic() + seconds
    last: object = None
    while time.monotonic() < end:
        try:
            found = await check()
            if found:
                return found
            last = found
        except (ApiError, *AWAY) as error:
            last = error
        await asyncio.sleep(poll)
    raise AssertionError(f"not within {seconds:g} s: {what}; at last {last!r}")
