"""Vectors of texts for one dataset: asked for in batches, each recorded before it is used."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from itertools import pairwise

from services.common.errors import FineTuneFlowError
from services.dataset.core.budget import PER_MESSAGE
from services.dataset.core.purposes import EMBEDDED as PURPOSE
from services.dataset.core.vectors import BATCH, Vector, packed, unpacked
from services.dataset.llm import LlmClient
from services.dataset.ports import Reply
from services.dataset.spending import Spending
from services.dataset.tries import CallRefused

MAX_TEXT = 8000
"""Characters of a text that are looked at: servers refuse longer ones."""


class Embedder:
    """Gives vectors, those of the same text from one record.

    Args:
        model: what the endpoint is asked for.
        patience: seconds that the endpoint may be away before that is an error, for a batch with its halves.
    """

    def __init__(self, client: LlmClient, model: str, spending: Spending, patience: float) -> None:
        self._client = client
        self._model = model
        self._spending = spending
        self._patience = patience
        self._turn = asyncio.Lock()
        self._waiting: dict[str, str] = {}
        self._refused: dict[str, CallRefused] = {}
        self._failed: FineTuneFlowError | None = None

    async def known(self, text: str) -> Vector | None:
        """Return the vector of a text that was asked about before; None if it was not. Nothing is bought."""
        record = await self._spending.known(self._id(text[:MAX_TEXT]))
        return unpacked(record["text"]) if record else None

    async def vector(self, text: str) -> Vector:
        """Return the vector of a text; whatever else waits is asked for with it.

        Raises:
            BudgetReached: the call could pass a budget.
            CallRefused: the server refuses this text, even by itself; it takes others, perhaps.
            Unavailable: LLM_UNAVAILABLE.
        """
        text = text[:MAX_TEXT]
        id = self._id(text)
        while (found := await self.known(text)) is None:
            if error := self._refused.get(id):
                raise error
            self._waiting.setdefault(id, text)
            async with self._turn:
                if id in self._waiting:
                    await self._next_batch()
        return found

    async def _next_batch(self) -> None:
        if self._failed:
            raise self._failed
        batch = dict(list(self._waiting.items())[:BATCH])
        try:
            await self._bought(batch, time.monotonic() + self._patience)
        except FineTuneFlowError as error:
            # Whoever waits behind this call gives up too, instead of trying as long again.
            self._failed = error
            raise

    async def _bought(self, batch: Mapping[str, str], until: float) -> None:
        """Buy some vectors; where the server refuses them together, by halves, until it is known which text it is.

        Args:
            until: when patience ends (time.monotonic), for the batch and its halves together.
        """
        try:
            await self._buy(batch, max(0.0, until - time.monotonic()))
        except CallRefused as error:
            ids, half = list(batch), len(batch) // 2
            if half:
                for part in (ids[:half], ids[half:]):
                    await self._bought({id: batch[id] for id in part}, until)
                return
            self._refused[ids[0]] = error
        for id in batch:
            del self._waiting[id]

    async def _buy(self, batch: Mapping[str, str], patience: float) -> None:
        """Ask for the vectors of some texts by id, and record each."""
        prices, sizes = self._spending.prices(PURPOSE), [len(text.encode()) for text in batch.values()]
        worst = sum(sizes) + PER_MESSAGE * len(sizes)
        reserved = await self._spending.reserved(prices.amount(worst, 0))
        used = 0
        try:
            began = time.monotonic()
            answer = await self._client.embed(self._model, list(batch.values()), patience=patience)
            used = (answer.tokens or worst) + answer.late * worst
            seconds = time.monotonic() - began
            await asyncio.gather(
                *(
                    self._record(id, Reply(packed(vector), shown, 0, 0), seconds, charged, size)
                    for id, vector, shown, charged, size in zip(
                        batch, answer.vectors, _shares(answer.tokens, sizes), _shares(used, sizes), sizes, strict=True
                    )
                )
            )
        finally:
            self._spending.settle(reserved, prices.amount(used, 0))

    async def _record(self, id: str, reply: Reply, seconds: float, charged: int, size: int) -> None:
        spending = self._spending
        spending.count(id, await spending.calls.record(spending.uid, id, reply, seconds, (charged, 0), size))

    def _id(self, text: str) -> str:
        parts = [self._client.endpoint.name, self._model, text]
        return f"{PURPOSE}-{hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]}"


def _shares(total: int, sizes: Sequence[int]) -> list[int]:
    """Return a total divided by sizes, in whole numbers whose sum it is."""
    ends, seen = [0], 0
    for size in sizes:
        seen += size
        ends.append(total * seen // max(1, sum(sizes)))
    return [end - start for start, end in pairwise(ends)]
