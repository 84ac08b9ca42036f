"""A process that helps to read a long PDF: what it does, and how it and its parent speak with each other.

It takes blocks of pages and sends each page in short, then waits until it is told what of its pages is furniture, and
sends their parts. Nobody but processes of one document hears what is said here.
"""

from __future__ import annotations

import contextlib
import fcntl
import marshal
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from services.common.confined.limits import die_with
from services.ingest.core.layout.assemble import Furniture, Part, Parts
from services.ingest.core.layout.page import Table
from services.ingest.core.layout.paragraphs import Passage
from services.ingest.core.layout.sketch import MarginRow, Sketch
from services.ingest.sandbox.pdfpages import PdfPages
from services.ingest.sandbox.pdfsheets import Found, Sheets

_PIPE_BYTES = 1 << 20
_NUMBER = struct.Struct("<I")

Block = tuple[int, list[Found], bool]
"""The number of a block, its pages, and whether pdf_oxide has read pages."""


class Blocks:
    """The blocks of pages that nobody has taken; all processes of a document take from the same."""

    def __init__(self, count: int) -> None:
        # The numbers of all blocks fit into the pipe; who reads one has taken the block.
        self._numbers, out = pipe()
        os.write(out, b"".join(map(_NUMBER.pack, range(count))))
        os.close(out)

    def taken(self) -> int | None:
        """Take the number of a block; None if there is none left."""
        data = os.read(self._numbers, _NUMBER.size)
        return _NUMBER.unpack(data)[0] if data else None

    def close(self) -> None:
        """Take no more."""
        os.close(self._numbers)


class Helper:
    """Such a process, as its parent sees it.

    Args:
        path: the document.
        blocks: from which it takes.
        size: pages in a block.
        plain: whether pdf_oxide may read pages of plain text.
    """

    def __init__(self, path: Path, blocks: Blocks, size: int, plain: bool) -> None:
        self.pipe, out = pipe()
        orders, self._orders = pipe()
        self.busy = True
        """Whether it has still something to send."""
        self.seconds = 0.0
        """Processor time that it took, once it has ended."""
        self._buffer = bytearray()
        parent = os.getpid()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self._orders)
            _help(path, blocks, size, plain, os.fdopen(orders, "rb"), os.fdopen(out, "wb", 0), parent)
        os.close(out)
        os.close(orders)
        os.set_blocking(self.pipe, False)

    def blocks(self) -> Iterator[Block]:
        """Yield the blocks that have come."""
        for number, pages, by_plain in self._received():
            yield number, [_found(page) for page in pages], by_plain

    def parts(self) -> Iterator[tuple[int, Parts]]:
        """Yield the parts that have come, with their pages' numbers."""
        for pages in self._received():
            for number, parts in pages:
                yield number, [(_part(part), fresh) for part, fresh in parts]

    def divide(self, outer: Furniture) -> None:
        """Have it divide its pages, when it is told what is furniture."""
        if self.pid:
            with contextlib.suppress(BrokenPipeError), os.fdopen(os.dup(self._orders), "wb") as orders:
                marshal.dump(outer, orders)
            self.busy = True

    def _received(self) -> Iterator[Any]:
        """Yield what has come; find out how the helper ended if it has.

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
            said = marshal.loads(memoryview(self._buffer)[place + _NUMBER.size : end])  # noqa: S302  # a process of this document's own wrote it
            place = end
            if said is None:
                self.busy = False
            else:
                yield said
        del self._buffer[:place]

    def _end(self) -> None:
        _, status, usage = os.wait4(self.pid, 0)
        self.pid = 0
        self.busy = False
        self.seconds = usage.ru_utime + usage.ru_stime
        code = os.waitstatus_to_exitcode(status)
        if code < 0:
            os.kill(os.getpid(), -code)

    def close(self) -> None:
        """End it, whatever it does."""
        os.close(self.pipe)
        os.close(self._orders)
        if self.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, 9)
            os.waitpid(self.pid, 0)
            self.pid = 0


def _help(path: Path, blocks: Blocks, size: int, plain: bool, orders: BinaryIO, out: BinaryIO, parent: int) -> NoReturn:
    code = 1
    try:
        die_with(parent)
        document = PdfPages(path, plain)
        sheets = Sheets(document)
        while (number := blocks.taken()) is not None:
            pages = read_block(sheets, number, size, len(document))
            _send(out, (number, list(map(_packed, pages)), document.by_plain))
        _send(out, None)
        outer = marshal.load(orders)  # noqa: S302  # its parent wrote it
        numbers = sheets.numbers()
        for begin in range(0, len(numbers), size):
            some = numbers[begin : begin + size]
            _send(out, [(number, _packed_parts(sheets.parts(number, outer.get(number, ())))) for number in some])
        code = 0
    finally:
        os._exit(code)


def read_block(sheets: Sheets, number: int, size: int, pages: int) -> list[Found]:
    """Read the pages of a block of a document that has so many."""
    return [sheets.read(index) for index in range(number * size, min((number + 1) * size, pages))]


def pipe() -> tuple[int, int]:
    """Return the two ends of a pipe that holds much, so that nobody waits for who reads it."""
    out, into = os.pipe()
    with contextlib.suppress(OSError):
        fcntl.fcntl(into, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    return out, into


def _send(out: BinaryIO, said: Any) -> None:
    data = marshal.dumps(said)
    left = memoryview(_NUMBER.pack(len(data)) + data)
    while left:
        left = left[out.write(left) :]


def _packed(found: Found) -> Any:
    if found is None:
        return None
    sketch, picture = found
    return *sketch[:-1], list(map(tuple, sketch.margins)), picture


def _found(packed: Any) -> Found:
    if packed is None:
        return None
    *short, margins, picture = packed
    return Sketch._make([*short, [MarginRow._make(row) for row in margins]]), picture


def _packed_parts(parts: Parts) -> list[Any]:
    return [(_packed_part(part), fresh) for part, fresh in parts]


def _packed_part(part: Part) -> Any:
    if isinstance(part, Passage):
        return tuple(part)
    if isinstance(part, Table):
        return part.rows, part.x0, part.y0, part.x1, part.y1
    return part


def _part(packed: Any) -> Part:
    if isinstance(packed, str):
        return packed
    return Passage._make(packed) if isinstance(packed[0], str) else Table(*packed)
