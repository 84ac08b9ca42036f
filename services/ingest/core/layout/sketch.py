"""What is needed of all pages of a document before one of them can be divided into its parts."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from services.ingest.core.layout.page import Page, Run, joined

MARGIN = 0.12
"""Part of the page's height at its top and bottom in which running heads, running feet and page numbers stand."""

_ROWS = 2
_DIGITS = re.compile(r"\d+")
_FIRST_NUMBER, _LAST_NUMBER = re.compile(r"(\d{1,5})\b"), re.compile(r"\b(\d{1,5})$")
_MOST_DIGITS = 5
_NUMBER = re.compile(
    r"(?:\W|p(?:age|g|\.)?|seite|página|pagina|s\.)*(?:\d{1,5}|[ivxlc]{1,7})(?:\s*(?:/|of|von|de|sur|di)\s*\d{1,5})?\W*",
    re.IGNORECASE,
)


class MarginRow(NamedTuple):
    """A row that stands in a page's margin.

    Args:
        top: whether at the top of the page.
        height: where, in hundredths of the page's height.
        text: what it says.
        places: which of the page's runs it is made of, from 0.
        words: the text without its digits; the same for all rows that are nothing but a page number.
        numbers: by how much a number at either end is ahead of the page's own.
    """

    top: bool
    height: int
    text: str
    places: Sequence[int]
    words: str
    numbers: Sequence[int]


class Sketch(NamedTuple):
    """A page in short.

    Args:
        number: from 1.
        written: whether there is text on it.
        texts: those of its runs, in the order of the file.
        letters: how many there are of each font size, in the order in which the sizes occur.
        bold: how many are bold.
        margins: its outermost two rows at the top and at the bottom, as far as they stand in the margins; none if it
            has but one row.
    """

    number: int
    written: bool
    texts: Sequence[str]
    letters: Mapping[float, int]
    bold: int
    margins: Sequence[MarginRow]


def sketched(page: Page) -> Sketch:
    """Return a page in short."""
    letters: dict[float, int] = {}
    bold = 0
    texts: list[str] = []
    for text, _, _, _, _, size, is_bold, _ in page.runs:
        letters[size] = letters.get(size, 0) + len(text)
        if is_bold:
            bold += len(text)
        texts.append(text)
    return Sketch(page.number, bool(page.runs or page.turned), texts, letters, bold, _margins(page))


def _margins(page: Page) -> list[MarginRow]:
    rows = page.rows
    if len(rows) < 2:
        return []
    top = [(run, row, True) for row in rows[:_ROWS] if (run := joined(row)).y1 < MARGIN * page.height]
    bottom = [(run, row, False) for row in rows[-_ROWS:] if (run := joined(row)).y0 > (1 - MARGIN) * page.height]
    return [
        _margin_row(is_top, round(run.middle / page.height * 100), run.text, _places(page.runs, row), page.number)
        for run, row, is_top in top + bottom
    ]


def _margin_row(top: bool, height: int, text: str, places: Sequence[int], page: int) -> MarginRow:
    shown = text.strip()
    first = _FIRST_NUMBER.match(shown)
    last = _LAST_NUMBER.search(shown, max(first.end() if first else 0, len(shown) - _MOST_DIGITS))
    words = "#" if _NUMBER.fullmatch(shown) else _DIGITS.sub("#", shown.casefold())
    return MarginRow(top, height, text, places, words, [int(match[1]) - page for match in (first, last) if match])


def _places(runs: Sequence[Run], row: Sequence[Run]) -> list[int]:
    """Return where the runs of a row stand among those of their page; two runs may be alike."""
    wanted = set(map(id, row))
    return [place for place, run in enumerate(runs) if id(run) in wanted]


def body_size(pages: Sequence[Sketch]) -> float:
    """Return the font size of most characters, to half a point; 10 if there are none."""
    letters: dict[float, int] = {}
    for page in pages:
        for size, count in page.letters.items():
            letters[size] = letters.get(size, 0) + count
    counts: dict[float, int] = {}
    for exact, count in letters.items():
        size = round(exact * 2) / 2
        counts[size] = counts.get(size, 0) + count
    return max(counts, key=lambda size: counts[size]) if counts else 10.0
