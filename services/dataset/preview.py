"""A few examples at once; none of them is kept, only what they took."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Any

from services.common.documents.port import Document
from services.common.errors import FineTuneFlowError, InvalidArgument, NotFound
from services.dataset.askers import askers
from services.dataset.asking import Asker
from services.dataset.assessing import Assessor
from services.dataset.core.example import Source
from services.dataset.endpoints import Endpoints
from services.dataset.gates import Alone, Gates
from services.dataset.measures import Measures
from services.dataset.ports import Document as File
from services.dataset.ports import Documents, Reply
from services.dataset.rounds import Maker
from services.dataset.spec import Call, used_endpoints
from services.dataset.store import Used, answered, describe, example_id
from services.dataset.textspec import is_text

log = logging.getLogger(__name__)

MAX_CALLS = 10
DEFAULT_CALLS = 3


class Passing:
    """Records of calls that are kept as long as a preview takes."""

    def __init__(self) -> None:
        self._kept: dict[str, Document] = {}

    async def get(self, uid: str, id: str) -> Document | None:
        """Return the record of a call, or None."""
        return self._kept.get(id)

    async def record(
        self, uid: str, id: str, reply: Reply, seconds: float, charged: tuple[float, float], prompt_bytes: int
    ) -> Document:
        """Record an answered call. Repeating it returns the first record."""
        record = {"seconds": seconds, "charged": charged, "prompt_bytes": prompt_bytes, **answered(reply)}
        return self._kept.setdefault(id, record)

    async def recorded(self, uid: str) -> tuple[dict[str, Used], set[str]]:
        """Return that nothing was used before."""
        return {}, set()

    async def delete(self, uid: str) -> None:
        """Remove the calls."""
        self._kept.clear()


class Preview:
    """Makes a few calls of a dataset that does not exist."""

    def __init__(self, documents: Documents, endpoints: Endpoints, measures: Measures) -> None:
        self._documents = documents
        self._endpoints = endpoints
        self._measures = measures

    async def make(self, resolved: Document, calls: int) -> tuple[list[Document], dict[str, float]]:
        """Return examples, dropped ones too, and what they used, which estimates then know of.

        The calls are spread over the documents.

        Raises:
            InvalidArgument: calls is not 0 to 10, or no LLM is asked for such a dataset.
            Unavailable: LLM_UNAVAILABLE.
        """
        if not 0 <= calls <= MAX_CALLS:
            raise InvalidArgument(f"calls is {calls}; use 1 to {MAX_CALLS}, or 0.", field="calls")
        if is_text(resolved):
            raise InvalidArgument(
                "For task_type text no LLM is asked: there is nothing to preview. See the chunks, which are the rows.",
                field="spec.task_type",
            )
        spec = resolved["spec"]
        endpoint = await self._endpoints.resources.get(spec["llm_endpoint"])
        wanted = calls or DEFAULT_CALLS
        sources, unasked = await self._sources(resolved["files"], wanted)
        unlimited = {"uid": "", "spec": {**spec, "max_tokens_total": 0, "max_cost": 0.0}}
        asked = await askers(unlimited, self._endpoints, Passing(), 0)
        make = await asyncio.to_thread(Maker, resolved, asked.asker.model, sources, unasked)
        planned = await asyncio.to_thread(make, spec)
        made = min(wanted, len(planned.calls))
        chosen = [planned.calls[i * len(planned.calls) // made] for i in range(made)]
        began = time.monotonic()
        gates = Gates(spec, planned.template)
        assessor = Assessor(planned, gates, asked.judge, asked.embedder, spec["max_tokens"])
        looked_at = await _side_by_side(asked.asker, assessor, chosen)
        examples = []
        for call, (reply, alone) in zip(chosen, looked_at, strict=True):
            verdict = await asyncio.to_thread(gates.compared, alone, example_id(call))
            described = describe(call, verdict, planned.template.name)
            extra: dict[str, Any] = {"prompt_version": planned.template.version, "llm": resolved["llm"]}
            examples.append({**described, **extra, "_id": "", "reply_tokens": reply["completion_tokens"]})
        usage = {**asked.spending.usage(), "seconds": time.monotonic() - began}
        await self._keep(endpoint["uid"], spec, usage, len(chosen), asked.asker.at_once)
        return examples, usage

    async def _keep(self, uid: str, spec: dict[str, Any], usage: dict[str, float], calls: int, at_once: int) -> None:
        """Keep what a preview took, unless its endpoint is gone; the examples are paid for, whatever the store says."""
        try:
            await self._measures.keep(uid, used_endpoints(spec), usage, calls, at_once)
            try:
                now = await self._endpoints.resources.get(spec["llm_endpoint"])
            except NotFound:
                now = {"uid": ""}
            if now["uid"] != uid:  # deleted meanwhile: what was written after it goes too
                await self._measures.forget(uid)
        except FineTuneFlowError as error:
            log.warning("What a preview took is not kept for estimates: %s", error)

    async def _sources(self, files: Sequence[dict[str, str]], wanted: int) -> tuple[list[Source], set[str]]:
        """Return the first chunks of some files: as many as there are calls, from as many files as can be.

        Returns: also the names of those that follow them and are only looked at, one of each file.
        """
        chosen = [files[i * len(files) // wanted] for i in range(wanted)] if len(files) > wanted else files
        most = -(-wanted // len(chosen))
        found = [await self._first(file, most + 1) for file in chosen]
        unasked = {source.chunk for sources in found for source in sources[most:]}
        return [source for sources in found for source in sources], unasked

    async def _first(self, file: dict[str, str], most: int) -> list[Source]:
        found: list[Source] = []
        async for source in self._documents.chunks(File(**file)):
            found.append(source)
            if len(found) == most:
                break
        return found


async def _side_by_side(asker: Asker, assessor: Assessor, calls: Sequence[Call]) -> list[tuple[Document, Alone]]:
    """Make some calls and look at each reply by itself; if one fails, the others are given up."""

    async def looked_at(call: Call) -> tuple[Document, Alone]:
        reply = await asker.answer(call)
        alone, _ = await assessor.assess(call, reply)
        return reply, alone

    tasks = [asyncio.create_task(looked_at(call)) for call in calls]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
