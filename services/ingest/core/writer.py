"""Writes a document block by block."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from services.common.errors import Exhausted
from services.ingest.core.document import (
    Block,
    ExtractedDocument,
    Kind,
    Origin,
    Outline,
    PageSpan,
    Removed,
    Where,
)

MAX_CHARACTERS = 50_000_000


def check_length(characters: int) -> None:
    """Refuse a text that is too long to be worked on.

    Raises:
        Exhausted: more than 50 million code points (EXTRACTION_LIMIT).
    """
    if characters > MAX_CHARACTERS:
        raise Exhausted(
            f"The document's text is longer than {MAX_CHARACTERS:,} characters. Split the document.",
            reason="EXTRACTION_LIMIT",
            metadata={"limit": str(MAX_CHARACTERS)},
        )


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a block.

    Args:
        text: what it says, with the white space that belongs before the next segment.
        page: the page it stood on; 0 for formats without pages.
        removed: why it is no content; "" if it is.
        where: where else it stood: on a slide, in cells, at a line; None for formats that have no such places.
    """

    text: str
    page: int = 0
    removed: str = ""
    where: Where | None = None


class DocumentWriter:
    """Joins blocks by blank lines, list items by newlines."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._length = 0
        self._outline = Outline()
        self._blocks: list[Block] = []
        self._pages: list[PageSpan] = []
        self._removed: list[Removed] = []
        self._origins: list[Origin] = []

    def apart(self) -> None:
        """End the section: what follows stands below no heading until the next one."""
        self._outline.current = -1

    def heading(self, level: int, segments: Sequence[Segment]) -> None:
        """Write a heading as Markdown."""
        title = " ".join("".join(s.text for s in segments if not s.removed).split())
        above = self._outline.enter(level, title)
        first, *rest = segments
        marked = replace(first, text="#" * level + " " + first.text)
        self._write("heading", [marked, *rest], above, 0)

    def block(self, kind: Kind, segments: Sequence[Segment], head: int = 0) -> None:
        """Write a block that is no heading. head: length of a table's head row with its rule and newline."""
        self._write(kind, segments, self._outline.current, head)

    def _write(self, kind: Kind, segments: Sequence[Segment], heading: int, head: int) -> None:
        if self._blocks or self._removed:
            in_list = kind == "item" and self._blocks and self._blocks[-1].kind == "item" and not segments[0].removed
            self._put("\n" if in_list and self._blocks[-1].end == self._length else "\n\n")
        start = self._length
        for segment in segments:
            self._segment(segment)
        self._blocks.append(Block(start, self._length, kind, heading, len(self._blocks) + 1, head))

    def _segment(self, segment: Segment) -> None:
        start = self._length
        self._put(segment.text)
        if segment.removed:
            self._removed.append(Removed(start, self._length, segment.removed))
        if segment.where:
            self._origin(start, segment.where)
        if segment.page:
            last = self._pages[-1] if self._pages else None
            if last and last.page == segment.page:
                self._pages[-1] = PageSpan(last.start, self._length, last.page)
            else:
                self._pages.append(PageSpan(start, self._length, segment.page))

    def _origin(self, start: int, where: Where) -> None:
        if self._origins and self._origins[-1].where == where:
            start = self._origins.pop().start
        self._origins.append(Origin(start, self._length, where))

    def remove(self, segment: Segment) -> None:
        """Write what is no content as a paragraph of its own."""
        if self._length:
            self._put("\n\n")
        self._segment(segment)

    def _put(self, text: str) -> None:
        self._parts.append(text)
        self._length += len(text)
        check_length(self._length)

    def document(self) -> ExtractedDocument:
        """Return what was written."""
        return ExtractedDocument(
            text="".join(self._parts),
            headings=self._outline.headings,
            blocks=self._blocks,
            pages=self._pages,
            removed=self._removed,
            origins=self._origins,
        )
