"""Where in the source a piece of text stood."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from services.ingest.core.document import ExtractedDocument


@dataclass(frozen=True, slots=True)
class Place:
    """A place in a source document.

    Args:
        start: first code point of the extracted text that stood there.
        end: one past the last.
        page: page of a PDF, from 1; 0 for formats without pages.
        headings: headings above, outermost first, in formats without pages.
        paragraph: from 1, in formats without pages; 0 otherwise.
    """

    start: int
    end: int
    page: int = 0
    headings: tuple[str, ...] = ()
    paragraph: int = 0


def places_of(document: ExtractedDocument, spans: Sequence[tuple[int, int]]) -> list[Place]:
    """Return the places of some ranges of a document's text, in order."""
    found: list[Place] = []
    for start, end in spans:
        found.extend(_pages(document, start, end) if document.pages else _paragraphs(document, start, end))
    return found


def _pages(document: ExtractedDocument, start: int, end: int) -> Iterator[Place]:
    first = bisect_right(document.pages, start, key=lambda page: page.end)
    for page in islice(document.pages, first, None):
        if page.start >= end:
            return
        yield Place(max(page.start, start), min(page.end, end), page=page.page)


def _paragraphs(document: ExtractedDocument, start: int, end: int) -> Iterator[Place]:
    first = bisect_right(document.blocks, start, key=lambda block: block.end)
    for block in islice(document.blocks, first, None):
        if block.start >= end:
            return
        headings = document.path(block.heading)
        yield Place(max(block.start, start), min(block.end, end), headings=headings, paragraph=block.number)
