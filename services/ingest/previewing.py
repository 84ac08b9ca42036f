"""How a file would be cut: done by a child process like every cutting, and nothing of it is stored."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from services.common.confined.limits import Limits
from services.common.documents.port import Document
from services.common.errors import InvalidArgument, NotReady
from services.ingest.core.settings import ChunkRules
from services.ingest.cutting import cut_job, lines, recorded
from services.ingest.files import Files
from services.ingest.ports import Worker
from services.ingest.workroom import Workroom

DEFAULT_CHUNKS = 5
MOST_CHUNKS = 100
_SECONDS = 60
_AT_ONCE = 2
_ANSWER_CHARACTERS = 750_000
"""After so many code points no further chunk is shown: an answer has at most 4 MiB."""


@dataclass(frozen=True)
class Preview:
    """What would come of cutting a file.

    Args:
        chunking: as a file's document has it.
        histogram: least tokens, most tokens, chunks of so many.
        chunks: the first ones, as the child wrote them.
        text_sha256: of the text that the spans count in.
    """

    chunking: Document
    histogram: Sequence[tuple[int, int, int]]
    chunks: Sequence[dict[str, Any]]
    text_sha256: str


class Previews:
    """Cuts files for a look. Two at once; others wait."""

    def __init__(self, files: Files, worker: Worker, room: Workroom, limits: Limits) -> None:
        self._files = files
        self._worker = worker
        self._room = room
        self._limits = replace(
            limits, cpu_seconds=min(limits.cpu_seconds, _SECONDS), wall_seconds=min(limits.wall_seconds, _SECONDS)
        )
        self._free = asyncio.Semaphore(_AT_ONCE)

    async def preview(self, name: str, rules: ChunkRules, most: int) -> Preview:
        """Cut a file and return what came of it. Being cancelled ends the child process.

        Args:
            most: chunks to return, 1 to 100; 0 means 5.

        Raises:
            NotFound: the file or the model does not exist.
            NotReady: the file has no text (NOT_EXTRACTED), or the tokenizer is not to be had.
            InvalidArgument: most is out of range.
            Exhausted: it took too long or too much memory (EXTRACTION_LIMIT).
        """
        if not 0 <= most <= MOST_CHUNKS:
            raise InvalidArgument(f"max_chunks is {most}; use 1 to {MOST_CHUNKS}, or 0 for {DEFAULT_CHUNKS}.")
        file = await self._files.get(name)
        if file["text"] is None:
            raise NotReady(
                f"{name} has no text yet, or could not be read. See its state with `ftf files`, then repeat.",
                reason="NOT_EXTRACTED",
            )
        wish = await self._files.wish(rules)
        async with self._free, self._room.folder() as folder:
            source, target = folder / "text", folder / "chunks"
            await self._room.fetch(file["text"]["artifact"]["key"], source)
            variables, path = await self._room.tokenizer(wish["tokenizer"], folder)
            job = cut_job(source, target, wish["settings"], path, self._limits, most or DEFAULT_CHUNKS)
            made = await self._worker.run(job, _unheard, variables)
            chunks = _shown(list(lines(target)))
        return Preview(
            chunking=recorded(made, wish["settings"], wish["tokenizer"]),
            histogram=[(int(least), int(most), int(count)) for least, most, count in made["histogram"]],
            chunks=chunks,
            text_sha256=file["text"]["artifact"]["sha256"],
        )


async def _unheard(phase: str, done: int, total: int, unit: str) -> None:
    """Hear progress that nobody asked for."""


def _shown(chunks: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    left = _ANSWER_CHARACTERS
    for chunk in chunks:
        left -= len(chunk["text"])
        if found and left < 0:
            break
        found.append(chunk)
    return found
