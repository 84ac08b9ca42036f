"""A few examples at once, none of them kept."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from services.common.documents.port import Document
from services.common.errors import InvalidArgument
from services.dataset.core.example import Source
from services.dataset.endpoints import Endpoints
from services.dataset.gates import Gates
from services.dataset.generation import judge
from services.dataset.llm import LlmClient
from services.dataset.ports import Document as File
from services.dataset.ports import Documents, Reply
from services.dataset.rounds import Maker
from services.dataset.spec import Call, Plan
from services.dataset.store import describe

MAX_CALLS = 10
DEFAULT_CALLS = 3


class Preview:
    """Makes a few calls of a dataset that does not exist."""

    def __init__(self, documents: Documents, endpoints: Endpoints) -> None:
        self._documents = documents
        self._endpoints = endpoints

    async def make(self, resolved: Document, calls: int) -> tuple[list[Document], dict[str, float]]:
        """Return examples, dropped ones too, and what they used. The calls are spread over the documents.

        Raises:
            InvalidArgument: calls is not 0 to 10.
            Unavailable: LLM_UNAVAILABLE.
        """
        if not 0 <= calls <= MAX_CALLS:
            raise InvalidArgument(f"calls is {calls}; use 1 to {MAX_CALLS}, or 0.", field="calls")
        spec = resolved["spec"]
        client = await self._endpoints.client(spec["llm_endpoint"])
        wanted = calls or DEFAULT_CALLS
        sources = await self._sources(resolved["files"], wanted)
        make = await asyncio.to_thread(Maker, resolved, client.endpoint.model, sources)
        planned = await asyncio.to_thread(make, spec)
        made = min(wanted, len(planned.calls))
        chosen = [planned.calls[i * len(planned.calls) // made] for i in range(made)]
        began = time.monotonic()
        replies = await self._ask(client, spec, chosen)
        examples = await asyncio.to_thread(_judged, resolved, planned, list(zip(chosen, replies, strict=True)))
        return examples, {
            "calls": len(replies),
            "retries": sum(r.retries for r in replies),
            "prompt_tokens": sum(r.prompt_tokens for r in replies),
            "completion_tokens": sum(r.completion_tokens for r in replies),
            "seconds": time.monotonic() - began,
        }

    async def _ask(self, client: LlmClient, spec: dict[str, Any], calls: Sequence[Call]) -> list[Reply]:
        """Make some calls side by side; if one fails, the others are given up."""
        asked = [
            asyncio.create_task(
                client.complete(
                    call.messages,
                    call.schema,
                    temperature=spec["temperature"],
                    max_tokens=spec["max_tokens"],
                    seed=spec["seed"] + call.index,
                )
            )
            for call in calls
        ]
        try:
            return await asyncio.gather(*asked)
        finally:
            for task in asked:
                task.cancel()

    async def _sources(self, files: Sequence[dict[str, str]], wanted: int) -> list[Source]:
        """Return the first chunks of some files: as many as there are calls, from as many files as can be."""
        chosen = [files[i * len(files) // wanted] for i in range(wanted)] if len(files) > wanted else files
        most = -(-wanted // len(chosen))
        return [source for file in chosen for source in await self._first(file, most)]

    async def _first(self, file: dict[str, str], most: int) -> list[Source]:
        found: list[Source] = []
        async for source in self._documents.chunks(File(**file)):
            found.append(source)
            if len(found) == most:
                break
        return found


def _judged(resolved: Document, planned: Plan, answered: Sequence[tuple[Call, Reply]]) -> list[Document]:
    """Return examples as they would be stored, dropped ones too."""
    gates, examples = Gates(resolved["spec"]), []
    extra: dict[str, Any] = {"prompt_version": planned.template.version, "llm": resolved["llm"], "_id": ""}
    for call, reply in answered:
        verdict = gates.judge(judge(planned, call, reply.text), call)
        described = describe(call, verdict, planned.template.name)
        examples.append({**described, **extra, "reply_tokens": reply.completion_tokens})
    return examples
