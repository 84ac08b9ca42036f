"""The rows that an import left out, read from its report block by block: memory holds 1 MiB of it at a time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import aclosing

from services.common.documents.port import Document
from services.common.objects.port import Objects
from services.common.offsets import unknown
from services.dataset.core.ledger import Problems, Row, add_named, problem_row


class LeftOut:
    """Reads reports of imports."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    async def first(self, report: Document) -> Problems:
        """Return the first rows of each reason, as many as a ledger names."""
        found: dict[str, list[Row]] = {}
        async for lines in self._lines(report["key"], 0):
            await asyncio.to_thread(add_named, found, map(json.loads, lines))
        return found

    async def page(self, report: Document, reasons: Collection[str], size: int, start: int) -> tuple[list[Row], int]:
        """Return rows that were left out for some reasons, in order, and where the next page starts; 0 after the last.

        Args:
            size: most rows to return.
            start: the byte of the report at which the page starts.

        Raises:
            InvalidArgument: no line starts there.
        """
        rows: list[Row] = []
        async with aclosing(self._lines(report["key"], start)) as blocks:
            async for lines in blocks:
                read, found = await asyncio.to_thread(_read, lines, reasons, size - len(rows))
                rows += found
                start += read
                if len(rows) == size:
                    return rows, start if start < report["size_bytes"] else 0
        return rows, 0

    async def _lines(self, key: str, start: int) -> AsyncGenerator[list[bytes]]:
        """Yield the lines from a byte on, those of a block together, each without its end."""
        # A line starts behind the end of another, which is looked at too.
        before = min(start, 1)
        rest = b""
        async for block in self._objects.get(key, start - before):
            if before and not block.startswith(b"\n"):
                raise unknown()
            *lines, rest = (rest + block[before:]).split(b"\n")
            before = 0
            yield lines


def _read(lines: Sequence[bytes], reasons: Collection[str], most: int) -> tuple[int, list[Row]]:
    """Return how many bytes of some lines were read, and the rows found there for some reasons."""
    rows: list[Row] = []
    read = 0
    for line in lines:
        read += len(line) + 1
        problem = json.loads(line)
        if problem["reason"] in reasons:
            rows.append(problem_row(problem))
            if len(rows) == most:
                break
    return read, rows
