"""What has to be right before a service serves. A setting that is wrong ends it with one line that says what to set."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from services.common.bus import Bus
from services.common.documents.port import Documents
from services.common.errors import NotReady, Unavailable
from services.common.objects.port import Objects

log = logging.getLogger(__name__)

PATIENCE_SECONDS = 60.0
MAX_SKEW_SECONDS = 15.0
_PAUSE_SECONDS = 1.0


async def check(documents: Documents, objects: Objects, bus: Bus, *, patience: float = PATIENCE_SECONDS) -> None:
    """Return once the stores answer, take the credentials, can be written to, and tell the same time as this machine.

    A NATS that is away is not waited for: events wait for it, and services work without.

    Args:
        documents: the service's own.
        objects: the object store.
        bus: connected or not.
        patience: seconds for which a store that does not answer is asked again.

    Raises:
        Unavailable: with reason CONFIGURATION if a setting is wrong; else a store did not answer for so long.
        NotReady: the clocks differ by more than 15 s (CONFIGURATION), or a newer version wrote the documents.
    """
    end = time.monotonic() + patience
    for what, ask in (("document store", documents.check), ("object store", objects.check)):
        ahead = await _answer(what, ask, end)
        if abs(ahead) > MAX_SKEW_SECONDS:
            raise NotReady(
                f"The clock of the {what} is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} this "
                f"machine's; {MAX_SKEW_SECONDS:.0f} s are borne. Set both by NTP.",
                reason="CONFIGURATION",
            )
    await bus.check()


async def _answer(what: str, ask: Callable[[], Awaitable[float]], end: float) -> float:
    waited = False
    while True:
        try:
            return await ask()
        except Unavailable as error:
            if error.reason == "CONFIGURATION" or time.monotonic() > end:
                raise
            if not waited:
                log.warning("The %s does not answer yet; it is asked again: %s", what, error)
            waited = True
        await asyncio.sleep(_PAUSE_SECONDS)
