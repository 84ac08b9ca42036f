"""LLM servers that are away: since when, how long they are asked again, and that whoever watches is told so."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from services.common.documents.port import Document
from services.common.errors import FineTuneFlowError, from_code
from services.common.waiting import end
from services.common.work import Claim

if TYPE_CHECKING:
    from services.dataset.llm import LlmClient

AFTER_SECONDS = 1.0
"""How long a server is away before that is told: one call that failed says little."""
LOOK_SECONDS = 0.5


class Absence:
    """The time in which an endpoint has answered no call.

    Attributes:
        since: seconds since 1970 of the first call that failed, 0 while calls are answered.
        until: up to when that call is made again, roughly: a pause between two tries may lie on it.
        why: what became of it.
    """

    def __init__(self) -> None:
        self.since, self.until, self.why = 0.0, 0.0, ""

    def failed(self, why: str, left: float) -> None:
        """Note a call that failed and is made again for `left` more seconds."""
        if not self.since:
            now = time.time()
            self.since, self.until, self.why = now, now + max(left, 0.0), why

    def answered(self) -> None:
        """Note a call that was answered."""
        self.since = 0.0

    def words(self, where: str) -> str:
        """Return what is waited for and until when; "" while calls are answered, and once that time is over."""
        now = time.time()
        if not self.since or now - self.since < AFTER_SECONDS or now > self.until:
            return ""
        clock = time.strftime("%H:%M:%S UTC", time.gmtime(self.until))
        return (
            f"The LLM at {where} gave {self.why}. It is asked again until about {clock}; then the dataset pauses, and "
            "nothing is lost. See to the LLM."
        )


@asynccontextmanager
async def telling(claim: Claim, clients: Sequence[LlmClient]) -> AsyncIterator[None]:
    """For the length of the block, let a dataset's work say which LLM it waits for (WAITING_REASON_LLM_AWAY)."""
    task = asyncio.create_task(_tell(claim, clients))
    try:
        yield
    finally:
        await end([task])
    # What ends otherwise is held, ended or taken up again, and tells no wait then. The last calls may have been
    # answered since the last look.
    await _note(claim, None)


def kept(error: FineTuneFlowError) -> FineTuneFlowError:
    """Return the error of an LLM that stayed away, with what became of the dataset."""
    words = f"{error.message} Nothing is lost: `ftf dataset resume` goes on."
    return from_code(error.code, words, error.reason, error.metadata)


async def _tell(claim: Claim, clients: Sequence[LlmClient]) -> None:
    while True:
        told = (claim.doc["work"].get("waiting") or {}).get("message", "")
        away = [client for client in clients if client.absence.words(client.endpoint.base_url)]
        message = away[0].absence.words(away[0].endpoint.base_url) if away else ""
        if message != told:
            waiting = {"reason": "LLM_AWAY", "message": message, "since": away[0].absence.since} if away else None
            with contextlib.suppress(FineTuneFlowError):  # at the next look; the work itself finds out the same
                await _note(claim, waiting)
        await asyncio.sleep(LOOK_SECONDS)


async def _note(claim: Claim, waiting: Document | None) -> None:
    def note(doc: Document) -> None:
        # What was asked to pause or to end meanwhile does not wait any more.
        if waiting is None or doc["work"]["state"] in ("STARTING", "RUNNING"):
            doc["work"]["waiting"] = waiting

    await claim.update(note)
