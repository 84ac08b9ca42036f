"""Rows of cells as tables, paragraphs and the places of both: sheets and CSV files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from services.ingest.core.document import Where
from services.ingest.core.normal import clean, squeezed, table_cell
from services.ingest.core.writer import DocumentWriter, Segment

MAX_COLUMNS = 16_384


@dataclass(frozen=True, slots=True)
class Row:
    """A row with something in it.

    Args:
        number: from 1.
        left: its first column, from 1.
        cells: plain texts from that column on.
    """

    number: int
    left: int
    cells: Sequence[str]


def write_table(writer: DocumentWriter, rows: Sequence[Row], sheet: str = "") -> None:
    """Write rows as one Markdown table whose first row is its head; one row alone is a table without a body.

    Rows that are shorter than the head are filled up with empty cells, longer ones stay as they are.
    """
    left = min(row.left for row in rows)
    width = rows[0].left - left + len(rows[0].cells)
    segments: list[Segment] = []
    head = 0
    for index, row in enumerate(rows):
        text = _line(row, left, width)
        if index == 0:
            text += "\n|" + " --- |" * width
            head = len(text) + 1
        last = index == len(rows) - 1
        segments.append(Segment(text if last else text + "\n", where=_where(row, sheet)))
    writer.block("table", segments, head if len(rows) > 1 else 0)


def write_region(writer: DocumentWriter, rows: Sequence[Row], sheet: str) -> int:
    """Write neighbouring rows: lone cells above a table as paragraphs, then the table; return how many blocks.

    A region of one column is a paragraph for each cell.
    """
    at = written = 0
    several = max(len(row.cells) for row in rows) > 1
    while at < len(rows) and (not several or len(rows[at].cells) == 1):
        row = rows[at]
        at += 1
        text = squeezed(clean(row.cells[0])).strip()
        writer.block("paragraph", [Segment(_unmarked(text), where=_where(row, sheet))])
        written += 1
    if at < len(rows):
        write_table(writer, rows[at:], sheet)
        written += 1
    return written


def regions(rows: Iterator[Row]) -> Iterator[list[Row]]:
    """Yield runs of rows without an empty row between them."""
    found: list[Row] = []
    for row in rows:
        if found and row.number != found[-1].number + 1:
            yield found
            found = []
        found.append(row)
    if found:
        yield found


def trimmed(number: int, cells: Sequence[str]) -> Row | None:
    """Return a row without the empty cells at its ends, or None if there are no others."""
    first, last = 0, len(cells)
    while first < last and not cells[first].strip():
        first += 1
    while last > first and not cells[last - 1].strip():
        last -= 1
    return Row(number, first + 1, cells[first:last]) if first < last else None


def _line(row: Row, left: int, width: int) -> str:
    cells = [*[""] * (row.left - left), *row.cells]
    cells.extend([""] * (width - len(cells)))
    return "| " + " | ".join(table_cell(clean(cell)) for cell in cells) + " |"


def _where(row: Row, sheet: str) -> Where:
    return Where(sheet=sheet, cells=(row.number, row.left, row.number, row.left + len(row.cells) - 1))


def _unmarked(text: str) -> str:
    """Return a paragraph that is not taken for a heading."""
    return "\\" + text if text.startswith("#") else text
