"""Where in the source a piece of text stood."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import replace
from operator import attrgetter
from typing import NamedTuple

from services.ingest.core.document import ExtractedDocument, Origin, Where


class Place(NamedTuple):
    """A place in a source document.

    Args:
        start: first code point of the extracted text that stood there.
        end: one past the last.
        page: page of a PDF, from 1; 0 for formats without pages.
        headings: headings above, outermost first, in formats without pages.
        paragraph: from 1, in formats without pages; 0 otherwise.
        slide: of a presentation, from 1.
        sheet: of a workbook, by name.
        cells: of a sheet or a CSV file, such as "A2:F9".
        line: of a JSONL file, from 1.
        pointer: JSON Pointer of a value of a JSON file.
    """

    start: int
    end: int
    page: int = 0
    headings: tuple[str, ...] = ()
    paragraph: int = 0
    slide: int = 0
    sheet: str = ""
    cells: str = ""
    line: int = 0
    pointer: str = ""


_end = attrgetter("end")


def places_of(document: ExtractedDocument, spans: Sequence[tuple[int, int]]) -> list[Place]:
    """Return the places of some ranges of a document's text, in order."""
    found: list[Place] = []
    for start, end in spans:
        found.extend(_pages(document, start, end) if document.pages else _paragraphs(document, start, end))
    return found


def _pages(document: ExtractedDocument, start: int, end: int) -> Iterator[Place]:
    pages = document.pages
    index = bisect_right(pages, start, key=_end)
    while index < len(pages) and pages[index].start < end:
        page = pages[index]
        yield Place(max(page.start, start), min(page.end, end), page=page.page)
        index += 1


def _paragraphs(document: ExtractedDocument, start: int, end: int) -> Iterator[Place]:
    blocks = document.blocks
    index = bisect_right(blocks, start, key=_end)
    while index < len(blocks) and blocks[index].start < end:
        block = blocks[index]
        index += 1
        headings = document.path(block.heading)
        place = Place(max(block.start, start), min(block.end, end), headings=headings, paragraph=block.number)
        yield _within(document, place) if document.origins else place


def _within(document: ExtractedDocument, place: Place) -> Place:
    where = _joined(_origins(document, place.start, place.end))
    return place._replace(
        slide=where.slide,
        sheet=where.sheet,
        cells=cell_range(where.cells),
        line=where.line,
        pointer=where.pointer,
    )


def _origins(document: ExtractedDocument, start: int, end: int) -> Iterator[Origin]:
    origins = document.origins
    index = bisect_right(origins, start, key=_end)
    while index < len(origins) and origins[index].start < end:
        yield origins[index]
        index += 1


def _joined(origins: Iterator[Origin]) -> Where:
    """Return where the parts of one block stood together: cells that hold them all, else the first part's place."""
    found = [origin.where for origin in origins]
    if not found:
        return Where()
    ranges = [where.cells for where in found if where.cells]
    if not ranges:
        return found[0]
    tops, lefts, bottoms, rights = zip(*ranges, strict=True)
    return replace(found[0], cells=(min(tops), min(lefts), max(bottoms), max(rights)))


def cell_range(cells: Sequence[int]) -> str:
    """Return cells as spreadsheets name them: "B3", "A2:F9"; "" for none."""
    if not cells:
        return ""
    top, left, bottom, right = cells
    first, last = f"{_column(left)}{top}", f"{_column(right)}{bottom}"
    return first if first == last else f"{first}:{last}"


def _column(number: int) -> str:
    letters = ""
    while number > 0:
        number, rest = divmod(number - 1, 26)
        letters = chr(ord("A") + rest) + letters
    return letters
