"""Reading the chunks of many files."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from services.dataset.core.example import Source
from services.dataset.ports import Document

AT_ONCE = 8
"""Files that are read at a time."""


class Chunks(Protocol):
    """Where chunks are read; see ports.Documents."""

    def chunks(self, file: Document) -> AsyncIterator[Source]:
        """Yield the chunks of a file in order."""
        ...


async def sources_of(documents: Chunks, files: Sequence[Document]) -> list[Source]:
    """Return the chunks of files, in the order of the files, several of which are read side by side.

    Raises:
        NotFound, NotReady, Unavailable: of the first file whose chunks cannot be read; the others are given up.
    """
    found: list[Source] = []
    reading: deque[asyncio.Task[list[Source]]] = deque()
    try:
        for file in files:
            if len(reading) == AT_ONCE:
                found += await reading.popleft()
            reading.append(asyncio.create_task(_of(documents, file)))
        while reading:
            found += await reading.popleft()
    finally:
        for task in reading:
            task.cancel()
        await asyncio.gather(*reading, return_exceptions=True)
    return found


async def _of(documents: Chunks, file: Document) -> list[Source]:
    return [source async for source in documents.chunks(file)]
