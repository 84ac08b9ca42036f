"""Running heads, running feet and page numbers: lines that repeat in the margins of pages."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from services.ingest.core.layout.sketch import MarginRow, Sketch

_DIGITS = re.compile(r"\d+")
_FIRST_NUMBER, _LAST_NUMBER = re.compile(r"(\d{1,5})\b"), re.compile(r"\b(\d{1,5})$")
_MOST_DIGITS = 5
_NUMBER = re.compile(
    r"(?:\W|p(?:age|g|\.)?|seite|página|pagina|s\.)*(?:\d{1,5}|[ivxlc]{1,7})(?:\s*(?:/|of|von|de|sur|di)\s*\d{1,5})?\W*",
    re.IGNORECASE,
)
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

    @cached_property
    def words(self) -> str:
        """The text without its digits; the same for all rows that are nothing but a page number."""
        text = self.row.text.strip()
        return "#" if _NUMBER.fullmatch(text) else _DIGITS.sub("#", text.casefold())

    @cached_property
    def numbers(self) -> list[int]:
        """By how much a number at either end is ahead of the page's own."""
        text = self.row.text.strip()
        first = _FIRST_NUMBER.match(text)
        last = _LAST_NUMBER.search(text, max(first.end() if first else 0, len(text) - _MOST_DIGITS))
        return [int(match[1]) - self.page for match in (first, last) if match]


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
        self.words = Counter(row.words for row in found)


def _reason(row: _Row, beside: _Beside, offset: int | None, pages: int) -> str:
    bears_number = offset is not None and offset in row.numbers
    if row.words == "#" and (bears_number or not _DIGITS.search(row.row.text)):
        return "PAGE_NUMBER"
    usual = beside.pages
    if usual < _LEAST_PAGES or usual < _LEAST_SHARE * pages:
        return ""
    repeats = beside.words[row.words] >= (2 if usual >= 2 * _LEAST_PAGES else _LEAST_PAGES)
    if not repeats and not bears_number:
        return ""
    return "PAGE_HEADER" if row.row.top else "PAGE_FOOTER"


def _offset(rows: Sequence[_Row], pages: int) -> int | None:
    """Return by how much printed page numbers are ahead of the real ones, or None if there are none."""
    counts = Counter(offset for row in rows for offset in set(row.numbers))
    if not counts:
        return None
    offset, count = counts.most_common(1)[0]
    return offset if count >= 2 and count >= _LEAST_SHARE * pages else None
