"""Running heads, running feet and page numbers: lines that repeat in the margins of pages."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from services.ingest.core.layout.sketch import MarginRow, Sketch

_DIGIT = re.compile(r"\d")
_LEAST_PAGES = 3
_LEAST_SHARE = 0.4


@dataclass(frozen=True)
class Edge:
    """A row that is no content.

    Args:
        text: what it says.
        reason: PAGE_HEADER, PAGE_FOOTER or PAGE_NUMBER.
        top: whether it stands at the top of the page.
        places: which of the page's runs it is made of, from 0.
    """

    text: str
    reason: str
    top: bool
    places: Sequence[int]


@dataclass(frozen=True)
class _Row:
    page: int
    row: MarginRow

    @property
    def place(self) -> tuple[bool, int]:
        """On which edge, and at what height."""
        return self.row.top, self.row.height


def furniture(pages: Sequence[Sketch]) -> dict[int, list[Edge]]:
    """Return for each page number the rows that are furniture.

    A row counts if it stands among the outermost two rows within a margin, at a height at which at least three pages
    and two in five have one, and if either its words repeat at that height or it bears the page's number.
    """
    rows = [_Row(page.number, row) for page in pages for row in page.margins]
    places: dict[tuple[bool, int], list[_Row]] = defaultdict(list)
    for row in rows:
        places[row.place].append(row)
    offset = _offset(rows, len(pages))
    found: dict[int, list[Edge]] = defaultdict(list)
    known: dict[tuple[bool, int], _Beside] = {}
    for row in rows:
        top, height = row.place
        if row.place not in known:
            known[row.place] = _Beside(other for step in (-1, 0, 1) for other in places.get((top, height + step), ()))
        reason = _reason(row, known[row.place], offset, len(pages))
        if reason:
            found[row.page].append(Edge(row.row.text, reason, top, row.row.places))
    return dict(found)


class _Beside:
    """Rows at about one height: on how many pages there is one, and how often each of their texts occurs."""

    def __init__(self, rows: Iterable[_Row]) -> None:
        found = list(rows)
        self.pages = len({row.page for row in found})
        self.words = Counter(row.row.words for row in found)


def _reason(row: _Row, beside: _Beside, offset: int | None, pages: int) -> str:
    bears_number = offset is not None and offset in row.row.numbers
    if row.row.words == "#" and (bears_number or not _DIGIT.search(row.row.text)):
        return "PAGE_NUMBER"
    usual = beside.pages
    if usual < _LEAST_PAGES or usual < _LEAST_SHARE * pages:
        return ""
    repeats = beside.words[row.row.words] >= (2 if usual >= 2 * _LEAST_PAGES else _LEAST_PAGES)
    if not repeats and not bears_number:
        return ""
    return "PAGE_HEADER" if row.row.top else "PAGE_FOOTER"


def _offset(rows: Sequence[_Row], pages: int) -> int | None:
    """Return by how much printed page numbers are ahead of the real ones, or None if there are none."""
    counts = Counter(offset for row in rows for offset in set(row.row.numbers))
    if not counts:
        return None
    offset, count = counts.most_common(1)[0]
    return offset if count >= 2 and count >= _LEAST_SHARE * pages else None
