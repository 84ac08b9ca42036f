"""The pages of a long PDF, read by several processes at once.

PDFium reads one page at a time in a process. The helpers are forked, and so have the limits of this process, each for
itself; they open the document anew, take blocks of pages, and send what they find through pipes. A helper that breaks
breaks this process in the same way, so that the document ends as it would have with one process.
"""

from __future__ import annotations

import contextlib
import fcntl
import marshal
import os
import select
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pypdfium2

from services.common.confined.limits import die_with
from services.ingest.core.layout.page import Page, Rule, Run
from services.ingest.sandbox.pdfpages import PdfPages

LEAST_PAGES = 64
"""Shorter documents are read by one process."""

_BLOCK = 8
_MOST_BLOCKS = 1 << 13
_PIPE_BYTES = 1 << 20
_NUMBER = struct.Struct("<I")

Found = tuple[Page, bool] | None
"""A page and whether there is a picture on it; None if it cannot be read."""


def read_pages(document: PdfPages, path: Path, processes: int) -> Iterator[Found]:
    """Yield what is on each page, in order."""
    if processes < 2 or len(document) < LEAST_PAGES:
        for index in range(len(document)):
            yield read_page(document, index)
        return
    shares = _Shares(document, path, processes - 1)
    try:
        yield from shares.pages()
    finally:
        shares.close()


def read_page(document: PdfPages, index: int) -> Found:
    """Return what is on a page."""
    try:
        return document.page(index)
    except pypdfium2.PdfiumError:
        return None


class _Shares:
    """Blocks of pages that this process and its helpers take, whoever has time."""

    def __init__(self, document: PdfPages, path: Path, helpers: int) -> None:
        self._document = document
        self._size = max(_BLOCK, -(-len(document) // _MOST_BLOCKS))
        self._count = -(-len(document) // self._size)
        self._ready: dict[int, list[Found]] = {}
        # The numbers of all blocks fit into the pipe; who reads one has taken the block.
        self._waiting, numbers = os.pipe()
        _widen(numbers)
        os.write(numbers, b"".join(map(_NUMBER.pack, range(self._count))))
        os.close(numbers)
        self._helpers = [_Helper(path, self._waiting, self._size, document.plain) for _ in range(helpers)]

    def pages(self) -> Iterator[Found]:
        """Yield what is on each page, in order."""
        for block in range(self._count):
            while block not in self._ready:
                self._work(block)
            yield from self._ready.pop(block)

    def _work(self, wanted: int) -> None:
        """Read a block, or wait for one of a helper's."""
        number = _taken(self._waiting)
        if number is not None:
            self._ready[number] = read_block(self._document, number, self._size)
            self._collect(0.0)
        elif not self._collect(None) and wanted not in self._ready:
            # A helper ended early without being broken, such as for want of memory.
            self._ready[wanted] = read_block(self._document, wanted, self._size)

    def _collect(self, seconds: float | None) -> bool:
        """Take in what helpers have sent; return whether one of them still works."""
        working = {helper.pipe: helper for helper in self._helpers if helper.pid}
        for pipe in select.select(list(working), [], [], seconds)[0] if working else ():
            for number, pages in working[pipe].received():
                self._ready[number] = pages
            self._document.by_plain |= working[pipe].by_plain
        return bool(working)

    def close(self) -> None:
        """End the helpers."""
        os.close(self._waiting)
        for helper in self._helpers:
            helper.close()


class _Helper:
    """A process that reads blocks of pages.

    Args:
        waiting: a pipe with the numbers of blocks that nobody has taken.
        size: pages in a block.
        plain: whether pdf_oxide may read pages of plain text.
    """

    def __init__(self, path: Path, waiting: int, size: int, plain: bool) -> None:
        self.pipe, out = os.pipe()
        _widen(out)
        self.by_plain = False
        self._buffer = bytearray()
        parent = os.getpid()
        self.pid = os.fork()
        if self.pid == 0:
            _help(path, waiting, size, out, parent, plain)
        os.close(out)
        os.set_blocking(self.pipe, False)

    def received(self) -> Iterator[tuple[int, list[Found]]]:
        """Yield the blocks that have come; find out how the helper ended if it has.

        A helper that a signal ended has this process end by the same one.
        """
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self.pipe, _PIPE_BYTES):
                self._buffer += data
            self._end()
        place = 0
        while len(self._buffer) - place >= _NUMBER.size:
            (length,) = _NUMBER.unpack_from(self._buffer, place)
            end = place + _NUMBER.size + length
            if end > len(self._buffer):
                break
            number, pages, self.by_plain = marshal.loads(memoryview(self._buffer)[place + _NUMBER.size : end])  # noqa: S302  # a process of this document's own wrote it
            yield number, [_unpacked(page) for page in pages]
            place = end
        del self._buffer[:place]

    def _end(self) -> None:
        _, status = os.waitpid(self.pid, 0)
        self.pid = 0
        code = os.waitstatus_to_exitcode(status)
        if code < 0:
            os.kill(os.getpid(), -code)

    def close(self) -> None:
        """End it, whatever it does."""
        os.close(self.pipe)
        if self.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, 9)
            os.waitpid(self.pid, 0)
            self.pid = 0


def _help(path: Path, waiting: int, size: int, out: int, parent: int, plain: bool) -> NoReturn:
    """Read blocks and send them until none is left."""
    code = 1
    try:
        die_with(parent)
        document = PdfPages(path, plain)
        with os.fdopen(out, "wb", 0) as pipe:
            while (number := _taken(waiting)) is not None:
                pages = [_packed(found) for found in read_block(document, number, size)]
                data = marshal.dumps((number, pages, document.by_plain))
                pipe.write(_NUMBER.pack(len(data)) + data)
        code = 0
    finally:
        os._exit(code)


def read_block(document: PdfPages, number: int, size: int) -> list[Found]:
    """Return what is on the pages of a block."""
    return [read_page(document, index) for index in range(number * size, min((number + 1) * size, len(document)))]


def _taken(waiting: int) -> int | None:
    """Take the number of a block; None if there is none left."""
    data = os.read(waiting, _NUMBER.size)
    return _NUMBER.unpack(data)[0] if data else None


def _widen(pipe: int) -> None:
    """Have a pipe hold much, so that nobody waits for who reads it."""
    with contextlib.suppress(OSError):
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)


def _packed(found: Found) -> Any:
    if found is None:
        return None
    page, picture = found
    rules = [(rule.x0, rule.y0, rule.x1, rule.y1) for rule in page.rules]
    return page.number, page.width, page.height, list(map(tuple, page.runs)), rules, list(page.turned), picture


def _unpacked(packed: Any) -> Found:
    if packed is None:
        return None
    number, width, height, runs, rules, turned, picture = packed
    page = Page(number, width, height, list(map(Run._make, runs)), [Rule(*rule) for rule in rules], turned)
    return page, picture
