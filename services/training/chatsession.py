"""One process with a run's models, as the service sees it: orders down, answers up, and how long it stays."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

from finetuneflow.training.v1 import chat_worker_service_pb2 as pb
from services.common.documents.port import Document
from services.common.errors import FineTuneFlowError


class Session:
    """A chat with one run's models.

    Args:
        run: the run's document.
        work: what its launch token is for: {run}/chats/{id}.
        job: name of its Job.
        now: seconds; it began then, and is idle from then on.
    """

    def __init__(self, run: Document, work: str, job: str, now: float) -> None:
        self.run = run
        self.work = work
        self.job = job
        self.asking = asyncio.Lock()
        self.over: FineTuneFlowError | None = None
        self.loaded = False
        self._orders: asyncio.Queue[pb.ConverseResponse | None] = asyncio.Queue()
        self._said: asyncio.Queue[pb.ConverseRequest] = asyncio.Queue()
        self._users = 0
        self._asks = 0
        self._idle_since = self.began = now
        self._keep = 0.0
        self.started = False
        self.met = False
        self._left_at: float | None = None

    @contextmanager
    def used(self, keep_seconds: float) -> Iterator[None]:
        """Count a caller for as long as the block runs; afterwards it stays for some seconds."""
        self._users += 1
        try:
            yield
        finally:
            self._users -= 1
            self._keep = keep_seconds
            self._idle_since = asyncio.get_running_loop().time()

    def idle(self, now: float) -> float:
        """Return for how many seconds nobody has asked it; 0 while somebody does."""
        return 0.0 if self._users else now - self._idle_since

    def is_due(self, now: float) -> bool:
        """Whether it is over, or has stayed long enough after its last answer; never while somebody asks it."""
        return not self._users and (self.over is not None or now - self._idle_since >= self._keep)

    def leave(self) -> None:
        """Note that its process went away: it hears and says nothing any more."""
        self._left_at = asyncio.get_running_loop().time()

    def gone(self) -> float | None:
        """Return for how many seconds its process has been away; None while it is there, or has yet to come."""
        return None if self._left_at is None else asyncio.get_running_loop().time() - self._left_at

    def next_number(self) -> int:
        """Return the number of the next question."""
        self._asks += 1
        return self._asks

    def order(self, order: pb.ConverseResponse) -> None:
        """Send an order to the process, now or as soon as it is there."""
        self._orders.put_nowait(order)

    def end(self, error: FineTuneFlowError) -> None:
        """Let the process go; who still waits for an answer gets the error. Repeating it does nothing."""
        self.over = self.over or error
        self._orders.put_nowait(None)

    async def orders(self) -> AsyncIterator[pb.ConverseResponse]:
        """Yield orders until the end."""
        while (order := await self._orders.get()) is not None:
            yield order

    def hear(self, said: pb.ConverseRequest) -> None:
        """Take in what the process says."""
        self.loaded = self.loaded or said.HasField("loaded")
        self._said.put_nowait(said)

    async def heard(self, seconds: float) -> pb.ConverseRequest | None:
        """Return the next thing said; None if nothing was for some seconds."""
        try:
            return await asyncio.wait_for(self._said.get(), seconds)
        except TimeoutError:
            return None
