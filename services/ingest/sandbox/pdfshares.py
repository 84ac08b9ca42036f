"""A long PDF, read by several processes at once.

PDFium reads one page at a time in a process. The helpers are forked, and so have the limits of this process, each for
itself; all together are held to them, too. They open the document anew and take blocks of pages, whoever has time; when
all pages are read and it is known what of them is furniture, each divides those that it has read into their parts. A
helper that breaks breaks this process in the same way, so that the document ends as it would have with one process.
"""

from __future__ import annotations

import contextlib
import select
from collections.abc import Iterator, Sequence
from pathlib import Path

from services.ingest.core.layout.assemble import Furniture, Parts
from services.ingest.core.layout.page import Page
from services.ingest.core.layout.sketch import Sketch
from services.ingest.sandbox.pdfbudget import Budget
from services.ingest.sandbox.pdfhelper import Blocks, Helper, read_block
from services.ingest.sandbox.pdfpages import PdfPages
from services.ingest.sandbox.pdfsheets import Found, Sheets

LEAST_PAGES = 64
"""Shorter documents are read by one process."""

_BLOCK = 4
_MOST_BLOCKS = 1 << 13
_WAIT_SECONDS = 0.5
"""After which the budget is looked at while helpers work."""


class Shares:
    """Reads pages with as many helpers as a document is worth.

    Args:
        document: opened by this process.
        path: where it lies.
        processes: how many may read it.
    """

    def __init__(self, document: PdfPages, path: Path, processes: int) -> None:
        self._document = document
        self._sheets = Sheets(document)
        self._size = max(_BLOCK, -(-len(document) // _MOST_BLOCKS))
        self._count = -(-len(document) // self._size)
        self._found: dict[int, list[Found]] = {}
        self._parts: dict[int, Parts] = {}
        self._blocks = Blocks(self._count)
        self._budget = Budget()
        helpers = processes - 1 if len(document) >= LEAST_PAGES else 0
        self._helpers: list[Helper] = []
        with contextlib.suppress(OSError):  # no room for one more process: fewer read it as well
            for _ in range(helpers):
                self._helpers.append(Helper(path, self._blocks, self._size, document.plain))

    def sketches(self) -> Iterator[Found]:
        """Yield what is on each page in short, in order."""
        for block in range(self._count):
            while block not in self._found:
                self._read(block)
            yield from self._found.pop(block)

    def _read(self, wanted: int) -> None:
        """Read a block, or wait for one of a helper's."""
        number = self._blocks.taken()
        if number is not None:
            self._found[number] = self._own(number)
            self._hear(0.0)
        elif not self._hear(_WAIT_SECONDS) and wanted not in self._found:
            # A helper ended early without being broken, such as for want of memory.
            self._found[wanted] = self._own(wanted)

    def _own(self, number: int) -> list[Found]:
        return read_block(self._sheets, number, self._size, len(self._document))

    def _hear(self, seconds: float) -> bool:
        """Take in blocks that helpers have sent; return whether one of them still reads."""
        for helper in self._spoken(seconds):
            for number, pages, by_plain in helper.blocks():
                self._found[number] = pages
                self._document.by_plain |= by_plain
        return any(helper.busy for helper in self._helpers)

    def _spoken(self, seconds: float) -> Sequence[Helper]:
        """Wait so long for helpers that have something to say."""
        busy = {helper.pipe: helper for helper in self._helpers if helper.busy}
        if not busy:
            return ()
        self._budget.hold(self._helpers)
        return [busy[pipe] for pipe in select.select(list(busy), [], [], seconds)[0]]

    def keep(self, page: Page) -> Sketch:
        """Keep a page that OCR has read; return it in short."""
        return self._sheets.keep(page)

    def parts(self, numbers: Sequence[int], outer: Furniture) -> Iterator[Parts]:
        """Yield the parts of each page, in order; the helpers end with it.

        Args:
            numbers: the pages with text, in order.
            outer: what of them is furniture.
        """
        while self._hear(_WAIT_SECONDS):
            pass
        for helper in self._helpers:
            helper.divide(outer)
        own = iter([number for number in numbers if number in self._sheets])
        for number in numbers:
            while number not in self._parts:
                self._divide(next(own, None), number, outer)
            yield self._parts.pop(number)

    def _divide(self, own: int | None, wanted: int, outer: Furniture) -> None:
        """Divide a page of this process's own, or wait for those of the helpers."""
        if own is not None:
            self._parts[own] = self._sheets.parts(own, outer.get(own, ()))
            if own % _BLOCK == 0:
                self._take(0.0)
        elif not self._take(_WAIT_SECONDS) and wanted not in self._parts:
            self._parts[wanted] = self._sheets.parts(wanted, outer.get(wanted, ()))

    def _take(self, seconds: float) -> bool:
        """Take in parts that helpers have sent; return whether one of them still divides."""
        for helper in self._spoken(seconds):
            self._parts.update(helper.parts())
        return any(helper.busy for helper in self._helpers)

    def close(self) -> None:
        """End the helpers."""
        self._blocks.close()
        for helper in self._helpers:
            helper.close()
