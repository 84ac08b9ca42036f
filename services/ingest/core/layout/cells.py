"""Tables without drawn cells: found by rows whose texts stand under each other."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from statistics import median

from services.ingest.core.layout.page import Run, Table, joined

_MARK = re.compile(
    r"[•◦▪‣●○■□–—*·-]|\(?(?:\d{1,3}|[a-zA-Z]|[ivxIVX]{1,5})[.)]|\[\d{1,3}\]|\d{1,2}(?:\.\d{1,2}){1,4}\.?"
)
_LEAST_ROWS = 3
_GAP = 0.9
"""Least white space between columns, in font sizes."""


def with_marks(row: list[Run]) -> list[Run]:
    """Return a row with a list's mark, such as a bullet, joined to the text after it."""
    if len(row) < 2 or not _MARK.fullmatch(row[0].text) or row[1].x0 - row[0].x1 > 5 * row[0].size:
        return row
    first = joined(row[:2])
    # The mark's own face says nothing about the text.
    return [first._replace(size=row[1].size, bold=row[1].bold, mono=row[1].mono), *row[2:]]


def aligned_tables(rows: Sequence[list[Run]]) -> list[Table | Run]:
    """Return rows, top to bottom, as tables where at least three of them share columns, and as lines elsewhere."""
    found: list[Table | Run] = []
    index = 0
    while index < len(rows):
        end = _table_end(rows, index) if len(rows[index]) > 1 and not _code(rows[index]) else index
        table = _table(rows[index:end]) if end > index else None
        if table:
            found.append(table)
            index = end
        else:
            found.append(joined(rows[index]))
            index += 1
    return found


def _table_end(rows: Sequence[list[Run]], start: int) -> int:
    """Return one past the last row that shares the columns of the row at start."""
    strips = _strips(rows[start])
    end = last = start + 1
    while end < len(rows):
        row = rows[end]
        if row[0].y0 - rows[end - 1][0].y1 > 2.5 * row[0].size or _code(row):
            break
        shared = _shared(strips, row)
        if not shared:
            break
        strips = shared
        end += 1
        if len(row) > 1:
            last = end
    # Single texts at the end are what follows the table, unless they are more of a cell other than the first.
    while last < end and rows[last][0].x0 > strips[0][0] and len(rows[last]) == 1:
        last += 1
    return last


def _code(row: Sequence[Run]) -> bool:
    return all(run.mono for run in row)


def _strips(row: Sequence[Run]) -> list[tuple[float, float]]:
    least = _GAP * min(run.size for run in row)
    return [(a.x1, b.x0) for a, b in pairwise(row) if b.x0 - a.x1 >= least]


def _shared(strips: Sequence[tuple[float, float]], row: Sequence[Run]) -> list[tuple[float, float]]:
    """Return what is left of strips of white space beside the texts of a row."""
    least = _GAP * min(run.size for run in row)
    found = []
    for a, b in strips:
        for run in row:
            if run.x0 < b and run.x1 > a:
                # A text that begins or ends in the strip narrows it; one that crosses it ends it.
                a, b = (run.x1, b) if run.x0 <= a else (a, run.x0)
        if b - a >= least:
            found.append((a, b))
    return found


def _table(rows: Sequence[list[Run]]) -> Table | None:
    strips = _strips(max(rows, key=len))
    for row in rows:
        strips = _shared(strips, row)
    several = sum(len(row) > 1 for row in rows)
    if not strips or several < (2 if len(strips) > 1 else _LEAST_ROWS) or _is_prose(rows):
        return None
    cells = [_cells(row, strips) for row in rows]
    merged = _continued(rows, cells)
    every = [run for row in rows for run in row]
    return Table(
        merged,
        min(run.x0 for run in every),
        min(run.y0 for run in every),
        max(run.x1 for run in every),
        max(run.y1 for run in every),
    )


def _is_prose(rows: Sequence[list[Run]]) -> bool:
    """Whether rows are lines of text with wide spaces in them: nearly all begin with a long text in lower case."""
    return median(max(len(run.text) for run in row) for row in rows) > 70


def _cells(row: Sequence[Run], strips: Sequence[tuple[float, float]]) -> list[str]:
    columns: list[list[Run]] = [[] for _ in range(len(strips) + 1)]
    for run in row:
        columns[sum(run.x0 >= (a + b) / 2 for a, b in strips)].append(run)
    return [joined(column).text if column else "" for column in columns]


def _continued(rows: Sequence[list[Run]], cells: list[list[str]]) -> list[list[str]]:
    """Join lines of one row: those with an empty first cell that stand closer to a neighbour than rows do."""
    steps = [below[0].middle - above[0].middle for above, below in pairwise(rows)]
    full = [step for step, row in zip(steps, cells[1:], strict=True) if row[0]]
    close = 0.85 * max(full) if full else 0.0
    merged: list[list[str]] = []
    waiting: list[str] | None = None
    for index, row in enumerate(cells):
        above = steps[index - 1] if index else float("inf")
        below = steps[index] if index < len(steps) else float("inf")
        if waiting:
            row, waiting = _both(waiting, row), None
            merged.append(row)
        elif row[0] or min(above, below) >= close:
            merged.append(row)
        elif above <= below:
            merged[-1] = _both(merged[-1], row)
        else:
            waiting = row
    return merged


def _both(above: Sequence[str], below: Sequence[str]) -> list[str]:
    return [f"{a} {b}".strip() for a, b in zip(above, below, strict=True)]
