"""Looking at everything that is due, whenever something may have changed and now and then without."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from services.common import incidents
from services.common.errors import FineTuneFlowError
from services.common.waiting import event_or_time


async def keep_sweeping(
    what: str, sweep: Callable[[], Awaitable[None]], awake: asyncio.Event, seconds: float, log: logging.Logger
) -> None:
    """Sweep until cancelled. A failure is logged, a mistake of ours with its number; neither ends the loop.

    Args:
        what: for the log: "packing runs".
        awake: set by whoever knows that there is something to do.
        seconds: longest pause between two sweeps.
    """
    while True:
        awake.clear()
        try:
            await sweep()
        except FineTuneFlowError as error:
            log.warning("%s waits: %s", what, error)
        except Exception as error:
            incidents.report(log, what, error)
        await event_or_time(awake, seconds)
