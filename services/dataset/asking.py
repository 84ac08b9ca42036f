"""Asking an LLM for one dataset: every answer is recorded before it is used, and the worst case must fit the budget."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from services.common.documents.port import Document
from services.dataset.core.budget import most_prompt_tokens
from services.dataset.endpointfields import MOST_AT_ONCE
from services.dataset.llm import LlmClient
from services.dataset.ports import Reply
from services.dataset.spec import Call
from services.dataset.spending import Spending
from services.dataset.store import purpose


class Asker:
    """Makes the calls of one endpoint for one attempt at a dataset.

    A kill at any moment loses answers that were not recorded yet: of max_concurrency calls at most, for a call begins
    only when there are fewer that have no record.

    Args:
        spec: the dataset's settings.
        patience: seconds that the LLM may be away before that is an error.
    """

    def __init__(self, client: LlmClient, spending: Spending, spec: dict[str, Any], patience: float) -> None:
        self._client = client
        self._spending = spending
        self._spec = spec
        self._patience = patience
        self._before = replace(client.slots.past)
        self._unrecorded = asyncio.Semaphore(client.endpoint.max_concurrency)

    @property
    def at_once(self) -> int:
        """Calls in flight at most."""
        return self._client.endpoint.max_concurrency

    @property
    def held_back(self) -> bool:
        """Whether the endpoint may take more calls at once than it is asked: see slots.Past.held_back."""
        return self.at_once < MOST_AT_ONCE and self._client.slots.past.held_back(self._before)

    @property
    def model(self) -> str:
        """The model that is asked."""
        return self._client.endpoint.model

    @property
    def llm(self) -> str:
        """The endpoint's name and its model."""
        return f"{self._client.endpoint.name} {self._client.endpoint.model}"

    async def answer(self, call: Call) -> Document:
        """Return the record of a planned call; see ask."""
        if known := await self._spending.known(call.id):
            return known
        async with self._unrecorded:
            # Not before: a thousand calls may wait for their turn, and what they say is as long as their chunks.
            messages = call.messages
            schema = call.schema_of_all if _hosted(self._client.endpoint.base_url) else call.schema
            temperature, most = self._spec["temperature"], self._spec["max_tokens"]
            seed = self._spec["seed"] + call.index
            return await self._made(call.id, messages, schema, temperature=temperature, max_tokens=most, seed=seed)

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
            CallRefused: the server takes others, perhaps.
            Unavailable: LLM_UNAVAILABLE.
        """
        if known := await self._spending.known(id):
            return known
        async with self._unrecorded:
            return await self._made(id, messages, schema, temperature=temperature, max_tokens=max_tokens, seed=seed)

    async def _made(
        self,
        id: str,
        messages: Sequence[dict[str, str]],
        schema: dict[str, Any],
        *,
        temperature: float,
        max_tokens: int,
        seed: int,
    ) -> Document:
        """Make a call within the budget, and record its answer."""
        prices, spending = self._spending.prices(purpose(id)), self._spending
        worst = most_prompt_tokens(messages), max_tokens
        reserved = await spending.reserved(prices.amount(*worst))
        used: tuple[float, float] = (0, 0)
        try:
            began = time.monotonic()
            reply = await self._client.complete(
                messages, schema, temperature=temperature, max_tokens=max_tokens, seed=seed, patience=self._patience
            )
            prompt, completion = _charge(reply, worst)
            used = prompt + reply.late * worst[0], completion
            size, seconds = sum(len(m["content"].encode()) for m in messages), time.monotonic() - began
            record = await spending.calls.record(spending.uid, id, reply, seconds, used, size)
        finally:
            spending.settle(reserved, prices.amount(*used))
        spending.count(id, record)
        return record


def _hosted(base_url: str) -> bool:
    """Whether a server is taken for a hosted one, by its https: such may prepare each new schema for seconds, and keep
    prompts behind it. One's own has mostly a small model, which quotes right by a schema of the call's own.
    """
    return base_url.lower().startswith("https:")


def _charge(reply: Reply, worst: tuple[int, int]) -> tuple[float, float]:
    """Return the tokens that a reply counts for: the server's own figures, or else the most that it can be."""
    if reply.prompt_tokens or reply.completion_tokens:
        return reply.prompt_tokens, reply.completion_tokens
    return worst[0], min(worst[1], len(reply.text.encode()))
