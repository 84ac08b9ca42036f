"""Running heads, running feet and page numbers: lines that repeat in the margins of pages."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from services.ingest.core.layout.page import Page, Run, joined, rows_of

MARGIN = 0.12
"""Part of the page's height at its top and bottom in which furniture stands."""

_DIGITS = re.compile(r"\d+")
_EDGE_NUMBER = re.compile(r"^(\d{1,5})\b|\b(\d{1,5})$")
_NUMBER = re.compile(
    r"(?:\W|p(?:age|g|\.)?|seite|página|pagina|s\.)*(?:\d{1,5}|[ivxlc]{1,7})(?:\s*(?:/|of|von|de|sur|di)\s*\d{1,5})?\W*",
    re.IGNORECASE,
)
_LEAST_PAGES = 3
_LEAST_SHARE = 0.4
_ROWS = 2


@dataclass(frozen=True)
class Edge:
    """A row that is no content.

    Args:
        text: what it says.
        reason: PAGE_HEADER, PAGE_FOOTER or PAGE_NUMBER.
        top: whether it stands at the top of the page.
        runs: those that it is made of.
    """

    text: str
    reason: str
    top: bool
    runs: Sequence[Run]


@dataclass(frozen=True)
class _Row:
    page: int
    top: bool
    height: int
    text: str
    runs: Sequence[Run]

    @property
    def words(self) -> str:
        """The text without its digits; the same for all rows that are nothing but a page number."""
        text = self.text.strip()
        return "#" if _NUMBER.fullmatch(text) else _DIGITS.sub("#", text.casefold())

    def numbers(self) -> list[int]:
        """Return by how much a number at either end is ahead of the page's own."""
        found = _EDGE_NUMBER.finditer(self.text.strip())
        return [int(match[1] or match[2]) - self.page for match in found]


def furniture(pages: Sequence[Page]) -> dict[int, list[Edge]]:
    """Return for each page number the rows that are furniture.

    A row counts if it stands among the outermost two rows within a margin, at a height at which at least three pages
    and two in five have one, and if either its words repeat at that height or it bears the page's number.
    """
    rows = [row for page in pages for row in _margins(page)]
    places: dict[tuple[bool, int], list[_Row]] = defaultdict(list)
    for row in rows:
        places[row.top, row.height].append(row)
    offset = _offset(rows, len(pages))
    found: dict[int, list[Edge]] = defaultdict(list)
    known: dict[tuple[bool, int], _Beside] = {}
    for row in rows:
        place = (row.top, row.height)
        if place not in known:
            known[place] = _Beside(
                other for step in (-1, 0, 1) for other in places.get((row.top, row.height + step), ())
            )
        reason = _reason(row, known[place], offset, len(pages))
        if reason:
            found[row.page].append(Edge(row.text, reason, row.top, row.runs))
    return dict(found)


class _Beside:
    """Rows at about one height: on how many pages there is one, and how often each of their texts occurs."""

    def __init__(self, rows: Iterable[_Row]) -> None:
        found = list(rows)
        self.pages = len({row.page for row in found})
        self.words = Counter(row.words for row in found)


def _reason(row: _Row, beside: _Beside, offset: int | None, pages: int) -> str:
    bears_number = offset is not None and offset in row.numbers()
    if row.words == "#" and (bears_number or not _DIGITS.search(row.text)):
        return "PAGE_NUMBER"
    usual = beside.pages
    if usual < _LEAST_PAGES or usual < _LEAST_SHARE * pages:
        return ""
    repeats = beside.words[row.words] >= (2 if usual >= 2 * _LEAST_PAGES else _LEAST_PAGES)
    if not repeats and not bears_number:
        return ""
    return "PAGE_HEADER" if row.top else "PAGE_FOOTER"


def _margins(page: Page) -> list[_Row]:
    """Return the outermost rows of a page; none of a page that has a single row."""
    rows = rows_of(page.runs)
    if len(rows) < 2:
        return []
    top = [(run, row, True) for row in rows[:_ROWS] if (run := joined(row)).y1 < MARGIN * page.height]
    bottom = [(run, row, False) for row in rows[-_ROWS:] if (run := joined(row)).y0 > (1 - MARGIN) * page.height]
    return [
        _Row(page.number, is_top, round(run.middle / page.height * 100), run.text, runs)
        for run, runs, is_top in top + bottom
    ]


def _offset(rows: Sequence[_Row], pages: int) -> int | None:
    """Return by how much printed page numbers are ahead of the real ones, or None if there are none."""
    counts = Counter(offset for row in rows for offset in set(row.numbers()))
    if not counts:
        return None
    offset, count = counts.most_common(1)[0]
    return offset if count >= 2 and count >= _LEAST_SHARE * pages else None
