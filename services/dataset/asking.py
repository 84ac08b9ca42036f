"""Asking the LLM for one dataset: every answer is recorded before it is used, and no budget is passed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from services.common.documents.port import Document
from services.common.errors import Exhausted
from services.dataset.core.budget import Budget, Prices, most_prompt_tokens
from services.dataset.llm import LlmClient
from services.dataset.ports import Reply
from services.dataset.spec import Call
from services.dataset.store import USAGE, Calls


class BudgetReached(Exhausted):
    """A call could pass a budget, so it is not made; `reason` says which: MAX_TOKENS_TOTAL or MAX_COST."""


class Asker:
    """Makes the calls of one attempt at a dataset.

    A kill at any moment loses answers that were not recorded yet: of max_concurrency calls at most, for a call begins
    only when there are fewer that have no record.

    Args:
        patience: seconds that the LLM may be away before that is an error.
    """

    def __init__(self, client: LlmClient, calls: Calls, dataset: Document, patience: float) -> None:
        self._client = client
        self._calls = calls
        self._uid: str = dataset["uid"]
        self._spec: dict[str, Any] = dataset["spec"]
        self._patience = patience
        self._unrecorded = asyncio.Semaphore(client.endpoint.max_concurrency)
        self._turn = asyncio.Lock()
        self._settled = asyncio.Event()
        self._recorded: set[str] = set()
        self._stopped = ""
        self._budget = Budget(0, 0, client.endpoint.prices)
        self.usage: dict[str, float] = {}

    @property
    def prices(self) -> Prices:
        """The endpoint's prices."""
        return self._client.endpoint.prices

    @property
    def at_once(self) -> int:
        """Calls in flight at most."""
        return self._client.endpoint.max_concurrency

    @property
    def llm(self) -> str:
        """The endpoint's name and its model."""
        return f"{self._client.endpoint.name} {self._client.endpoint.model}"

    async def forget(self) -> None:
        """Remove every record of the dataset, which was deleted."""
        await self._calls.delete(self._uid)

    async def begin(self) -> None:
        """Read what was recorded before; that is never bought again, and counts."""
        self.usage, charged, self._recorded = await self._calls.recorded(self._uid)
        most_tokens, most_cost = self._spec.get("max_tokens_total", 0), self._spec.get("max_cost", 0.0)
        self._budget = Budget(most_tokens, most_cost, self.prices, *charged)

    async def answer(self, call: Call) -> Document:
        """Return the record of a planned call; see ask."""
        return await self.ask(
            call.id,
            call.messages,
            call.schema,
            temperature=self._spec["temperature"],
            max_tokens=self._spec["max_tokens"],
            seed=self._spec["seed"] + call.index,
        )

    async def ask(
        self,
        id: str,
        messages: Sequence[dict[str, str]],
        schema: dict[str, Any],
        *,
        temperature: float,
        max_tokens: int,
        seed: int,
    ) -> Document:
        """Return the record of a call, made now if there is none: {"text", "prompt_tokens", "completion_tokens", …}.

        Args:
            id: hash of everything that decides the reply, at most 64 characters; one id is one call of this dataset.

        Raises:
            BudgetReached: the call could pass a budget, and none in flight will give back enough.
            Unavailable: LLM_UNAVAILABLE.
        """
        if id in self._recorded:
            known = await self._calls.get(self._uid, id)
            if known:
                return known
        async with self._unrecorded:
            worst = await self._reserved(most_prompt_tokens(messages), max_tokens)
            used: tuple[float, float] = (0, 0)
            try:
                began = time.monotonic()
                reply = await self._client.complete(
                    messages, schema, temperature=temperature, max_tokens=max_tokens, seed=seed, patience=self._patience
                )
                used = _charge(reply, worst)
                size = sum(len(m["content"].encode()) for m in messages)
                record = await self._calls.record(self._uid, id, reply, time.monotonic() - began, used, size)
            finally:
                self._budget.settle(worst, used)
                self._settled.set()
        self._count(id, record)
        return record

    async def _reserved(self, prompt_tokens: int, completion_tokens: int) -> tuple[int, int]:
        """Set the worst case aside, in the order of asking, once calls in flight have given back enough for it."""
        async with self._turn:
            while reason := self._stopped or self._budget.refuses(prompt_tokens, completion_tokens):
                if self._stopped or not self._budget.in_flight:
                    self._stopped = reason
                    raise BudgetReached(f"The next call could pass the budget ({reason}). Allow more.", reason=reason)
                self._settled.clear()
                await self._settled.wait()
            self._budget.reserve(prompt_tokens, completion_tokens)
            return prompt_tokens, completion_tokens

    def _count(self, id: str, record: Document) -> None:
        self._recorded.add(id)
        self.usage["calls"] += 1
        for field in USAGE:
            self.usage[field] += record.get(field, 0)


def _charge(reply: Reply, worst: tuple[int, int]) -> tuple[float, float]:
    """Return the tokens that a reply counts for: the server's own figures, or else the most that it can be."""
    if reply.prompt_tokens or reply.completion_tokens:
        return reply.prompt_tokens, reply.completion_tokens
    return worst[0], min(worst[1], len(reply.text.encode()))
