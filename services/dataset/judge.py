"""Asking a second LLM whether an example is faithful to its source."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol
from weakref import WeakValueDictionary

from services.common.documents.port import Document
from services.dataset.core import judging
from services.dataset.core.example import Verdict
from services.dataset.core.purposes import JUDGED
from services.dataset.core.replies import cut_in_thought
from services.dataset.core.screening import presentable
from services.dataset.spec import Call

_TRIES = 2


class Ask(Protocol):
    """Makes a call, or returns its record; see asking.Asker.ask."""

    async def __call__(
        self,
        id: str,
        messages: Sequence[dict[str, str]],
        schema: dict[str, Any],
        *,
        temperature: float,
        max_tokens: int,
        seed: int,
    ) -> Document:
        """Return the record of a call: {"text", …}."""
        ...


class Judge:
    """The judge of one dataset.

    Args:
        ask: asks the judge's endpoint.
        llm: that endpoint's name and model.
        spec: the dataset's settings.
    """

    def __init__(self, ask: Ask, llm: str, spec: dict[str, Any]) -> None:
        self._ask = ask
        self._llm = llm
        self._spec = spec
        # Examples with the same texts are judged by one call, made once.
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def rate(self, screened: Verdict, call: Call) -> Verdict:
        """Return an accepted verdict with its score and the reason, or dropped if that is too low.

        Raises:
            BudgetReached: the call could pass a budget.
            CallRefused: the server takes others, perhaps.
            Unavailable: LLM_UNAVAILABLE.
        """
        asked = judging.messages(screened, call.source)
        found, cut = None, ""
        for _ in range(_TRIES):
            reply = await self._reply(asked)
            cut = cut_in_thought(reply["text"], reply.get("finish_reason", ""), self._spec["max_tokens"])
            found = judging.read(reply["text"])
            if found:
                found = replace(found, reason=presentable(found.reason, self._spec.get("pii_policy", {})))
                break
            asked = judging.again(asked)
        verdict = judging.judged(screened, found, self._spec["judge"]["min_score"])
        return verdict if found else replace(verdict, judge_reason=cut)

    async def _reply(self, messages: list[dict[str, str]]) -> Document:
        most, seed = self._spec["max_tokens"], self._spec["seed"]
        parts = [self._llm, most, seed, judging.SCHEMA, messages]
        id = f"{JUDGED}-{hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]}"
        turn = self._turns.setdefault(id, asyncio.Lock())
        async with turn:
            return await self._ask(id, messages, judging.SCHEMA, temperature=0, max_tokens=most, seed=seed)
