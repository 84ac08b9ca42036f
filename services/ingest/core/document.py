"""The form of an extracted text: the text, its blocks, its headings, its pages, and what in it is no content.

Positions are Unicode code points of the text, ranges half-open. As JSON it is one object, stored under its SHA-256:

    {"schema": 1, "text": "…",
     "headings": [[level, title, parent], …],           parent: index of the heading above, or -1
     "blocks": [[start, end, kind, heading, number, head], …],
     "pages": [[start, end, page], …],                   PDF only
     "origins": [[start, end, slide, sheet, [top, left, bottom, right], line, pointer], …],    only where there are any
     "removed": [[start, end, reason], …]}               running heads, page numbers: never in a chunk
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

SCHEMA = 1

_ROWS = 1_000
"""So many rows of a list are written at once."""

Kind = Literal["paragraph", "heading", "item", "table", "code"]


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading.

    Args:
        level: 1 to 6.
        title: its text, without Markdown's marks.
        parent: index of the heading above it, -1 for none.
    """

    level: int
    title: str
    parent: int


@dataclass(frozen=True, slots=True)
class Block:
    """A paragraph, a heading, a list item, a table or a piece of code.

    Args:
        start: first code point.
        end: one past the last.
        kind: what it is.
        heading: index of the heading above it (of a heading: the one above that), -1 for none.
        number: its place among the document's blocks, from 1.
        head: length of a table's head row with its rule; 0 for all else.
    """

    start: int
    end: int
    kind: Kind
    heading: int
    number: int
    head: int = 0


@dataclass(frozen=True, slots=True)
class PageSpan:
    """A part of the text that stood on one page.

    Args:
        start: first code point.
        end: one past the last.
        page: from 1.
    """

    start: int
    end: int
    page: int


@dataclass(frozen=True, slots=True)
class Where:
    """Where something stands in a source that has neither pages nor running text alone.

    Args:
        slide: of a presentation, from 1; 0 for other formats.
        sheet: of a workbook, by name.
        cells: (top row, left column, bottom row, right column), from 1, of a sheet or a CSV file; () for other formats.
        line: of a JSONL file, from 1; 0 for other formats.
        pointer: JSON Pointer of a value.
    """

    slide: int = 0
    sheet: str = ""
    cells: tuple[int, ...] = ()
    line: int = 0
    pointer: str = ""


@dataclass(frozen=True, slots=True)
class Origin:
    """A part of the text and where it stood.

    Args:
        start: first code point.
        end: one past the last.
        where: the place.
    """

    start: int
    end: int
    where: Where


@dataclass(frozen=True, slots=True)
class Removed:
    """A part of the text that is no content.

    Args:
        start: first code point.
        end: one past the last.
        reason: PAGE_HEADER, PAGE_FOOTER or PAGE_NUMBER.
    """

    start: int
    end: int
    reason: str


@dataclass(frozen=True)
class ExtractedDocument:
    """A document as text."""

    text: str
    headings: Sequence[Heading] = ()
    blocks: Sequence[Block] = ()
    pages: Sequence[PageSpan] = ()
    removed: Sequence[Removed] = ()
    origins: Sequence[Origin] = ()

    def path(self, heading: int) -> tuple[str, ...]:
        """Return the titles from the outermost heading to this one."""
        found = self._paths.get(heading)
        if found is None:
            above = self.headings[heading]
            found = self._paths[heading] = (*self.path(above.parent), above.title)
        return found

    @cached_property
    def _paths(self) -> dict[int, tuple[str, ...]]:
        return {-1: ()}

    def headings_to(self, level: int) -> frozenset[int]:
        """Return the numbers of the blocks that are headings of this level or above it."""
        blocks = (block for block in self.blocks if block.kind == "heading")
        # Each heading has one block, in the same order.
        return frozenset(b.number for b, h in zip(blocks, self.headings, strict=False) if h.level <= level)


@dataclass
class Outline:
    """The headings met so far, and the one that holds now."""

    headings: list[Heading] = field(default_factory=list)
    current: int = -1

    def enter(self, level: int, title: str) -> int:
        """Add a heading; return the index of the heading above it."""
        parent = self.current
        while parent >= 0 and self.headings[parent].level >= level:
            parent = self.headings[parent].parent
        self.headings.append(Heading(level, title, parent))
        self.current = len(self.headings) - 1
        return parent


def to_json(document: ExtractedDocument) -> Iterable[str]:
    """Yield the document as JSON, in pieces."""
    yield f'{{"schema":{SCHEMA},"text":'
    yield json.dumps(document.text, ensure_ascii=False)
    headings = ([h.level, h.title, h.parent] for h in document.headings)
    blocks = ([b.start, b.end, b.kind, b.heading, b.number, b.head] for b in document.blocks)
    pages = ([p.start, p.end, p.page] for p in document.pages)
    removed = ([r.start, r.end, r.reason] for r in document.removed)
    members: list[tuple[str, Iterator[list[Any]]]] = [
        ("headings", headings),
        ("blocks", blocks),
        ("pages", pages),
        ("removed", removed),
    ]
    if document.origins:
        members.append(("origins", (_origin_row(origin) for origin in document.origins)))
    encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
    for name, rows in members:
        yield f',"{name}":['
        between = ""
        while some := list(itertools.islice(rows, _ROWS)):
            yield between + encode(some)[1:-1]
            between = ","
        yield "]"
    yield "}"


def from_json(stored: dict[str, Any]) -> ExtractedDocument:
    """Return the document that to_json wrote.

    Raises:
        ValueError: another schema wrote it.
    """
    if stored.get("schema") != SCHEMA:
        raise ValueError(f"extracted text of schema {stored.get('schema')}; {SCHEMA} is known")
    return ExtractedDocument(
        text=stored["text"],
        headings=[Heading(*row) for row in stored["headings"]],
        blocks=[Block(*row) for row in stored["blocks"]],
        pages=[PageSpan(*row) for row in stored["pages"]],
        removed=[Removed(*row) for row in stored["removed"]],
        origins=[_origin(row) for row in stored.get("origins", ())],
    )


def _origin_row(origin: Origin) -> list[Any]:
    where = origin.where
    return [origin.start, origin.end, where.slide, where.sheet, where.cells, where.line, where.pointer]


def _origin(row: Sequence[Any]) -> Origin:
    start, end, slide, sheet, cells, line, pointer = row
    return Origin(start, end, Where(slide, sheet, tuple(cells), line, pointer))
