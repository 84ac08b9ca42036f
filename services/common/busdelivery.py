"""One message of a consumer: handed over, kept alive meanwhile, acknowledged last."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from services.common.buserrors import AWAY
from services.common.errors import FineTuneFlowError
from services.common.waiting import end

log = logging.getLogger(__name__)

Handler = Callable[[bytes], Awaitable[None]]

ACK_SECONDS = 30.0
_FETCH_SECONDS = 2.0
_MAX_NAK_SECONDS = 30.0


async def take(subscription: Any, durable: str, handler: Handler) -> None:
    """Hand the next message to the handler, if one comes."""
    try:
        (message,) = await subscription.fetch(1, timeout=_FETCH_SECONDS)
    except TimeoutError:
        return
    alive = asyncio.create_task(_keep_alive(message))
    try:
        await handler(message.data)
    except Exception as error:
        tries = message.metadata.num_delivered
        delay = min(2.0 ** min(tries - 1, 10), _MAX_NAK_SECONDS)
        expected = isinstance(error, FineTuneFlowError)
        log.warning("%s: try %d of a message failed: %s", durable, tries, error, exc_info=None if expected else error)
        await message.nak(delay=delay)
    except asyncio.CancelledError:
        with contextlib.suppress(*AWAY):
            await message.nak()  # another replica, or this one after its restart, need not wait for it
        raise
    else:
        await message.ack()
    finally:
        await end([alive])


async def _keep_alive(message: Any) -> None:
    """Tell the server that the message is being worked on, so that it does not come again meanwhile."""
    while True:
        await asyncio.sleep(ACK_SECONDS / 3)
        with contextlib.suppress(*AWAY):
            await message.in_progress()
