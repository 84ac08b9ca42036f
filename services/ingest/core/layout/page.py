"""What stands on a page."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple


class Run(NamedTuple):
    """Text on one line without a wide gap in it.

    Args:
        text: cleaned, one or more visible characters.
        x0: left edge.
        y0: top edge.
        x1: right edge.
        y1: bottom edge.
        size: font size as printed.
        bold: whether all of it is in a bold face.
        mono: whether all of it is in a face of fixed width.
    """

    text: str
    x0: float
    y0: float
    x1: float
    y1: float
    size: float
    bold: bool = False
    mono: bool = False

    @property
    def width(self) -> float:
        """Its width."""
        return self.x1 - self.x0

    @property
    def middle(self) -> float:
        """Its middle, from the top of the page."""
        return (self.y0 + self.y1) / 2


@dataclass(frozen=True, slots=True)
class Rule:
    """A drawn line or the edge of a drawn box: horizontal if y0 == y1, else vertical."""

    x0: float
    y0: float
    x1: float
    y1: float


@dataclass(frozen=True, slots=True)
class Table:
    """A table that was found, in the place where it stood.

    Args:
        rows: texts of the cells; the first row is the head.
    """

    rows: Sequence[Sequence[str]]
    x0: float
    y0: float
    x1: float
    y1: float


@dataclass(frozen=True)
class Page:
    """A page.

    Args:
        number: from 1.
        width: in reading direction.
        height: across it.
        runs: in the order of the file.
        rules: drawn lines.
        turned: texts that run in another direction, in the order of the file.
    """

    number: int
    width: float
    height: float
    runs: Sequence[Run] = ()
    rules: Sequence[Rule] = ()
    turned: Sequence[str] = ()

    @cached_property
    def rows(self) -> list[list[Run]]:
        """Its runs as rows; see rows_of."""
        return rows_of(self.runs)

    def rows_without(self, outer: Collection[int]) -> list[list[Run]]:
        """Return as rows what is left without some runs, which are named by their places."""
        without = {id(self.runs[place]) for place in outer}
        first, last = 0, len(self.rows)
        taken = 0
        while first < last and all(id(run) in without for run in self.rows[first]):
            taken += len(self.rows[first])
            first += 1
        while first < last and all(id(run) in without for run in self.rows[last - 1]):
            last -= 1
            taken += len(self.rows[last])
        if taken == len(without):  # whole rows at the edges: the others are what they are without them
            return self.rows[first:last]
        return rows_of(run for run in self.runs if id(run) not in without)


def rows_of(runs: Iterable[Run]) -> list[list[Run]]:
    """Return runs as rows from top to bottom, each from left to right: runs whose middles lie within each other."""
    rows: list[list[Run]] = []
    top = bottom = 0.0
    for run in sorted(runs, key=_place):
        y0, y1 = run.y0, run.y1
        # Smaller ones, such as raised notes, may be a bit off.
        overlap = (y1 if y1 < bottom else bottom) - (y0 if y0 > top else top)
        height, other = bottom - top, y1 - y0
        if rows and overlap > 0.5 * (height if height < other else other):
            rows[-1].append(run)
        else:
            rows.append([run])
            top, bottom = y0, y1
    for row in rows:
        if len(row) > 1:
            row.sort(key=_left)
    return rows


def _place(run: Run) -> tuple[float, float]:
    return run.y0 + run.y1, run.x0


def _left(run: Run) -> float:
    return run.x0


def joined(runs: Sequence[Run]) -> Run:
    """Return the runs of a row as one, with spaces between them; the size is that of most characters."""
    if len(runs) == 1:
        return runs[0]
    if all(run.mono for run in runs):
        return _spaced(runs)
    largest = max(runs, key=lambda r: len(r.text))
    return Run(
        text=" ".join(run.text for run in runs),
        x0=min(run.x0 for run in runs),
        y0=min(run.y0 for run in runs),
        x1=max(run.x1 for run in runs),
        y1=max(run.y1 for run in runs),
        size=largest.size,
        bold=all(run.bold for run in runs),
        mono=all(run.mono for run in runs),
    )


def _spaced(runs: Sequence[Run]) -> Run:
    """Return runs of fixed width as one, with as many spaces between them as would fit."""
    first, last = runs[0], runs[-1]
    width = sum(run.width for run in runs) / max(sum(len(run.text) for run in runs), 1)
    text = first.text
    for before, run in pairwise(runs):
        text += " " * max(1, round((run.x0 - before.x1) / width if width else 1)) + run.text
    return Run(text, first.x0, min(r.y0 for r in runs), last.x1, max(r.y1 for r in runs), first.size, first.bold, True)


class Leading:
    """The usual distance from line to line in one column, for each size of type.

    Args:
        lines: of one column, top to bottom.
    """

    def __init__(self, lines: Sequence[Run]) -> None:
        steps: dict[tuple[int, bool], list[float]] = {}
        style, styled = (0, False), (0.0, False)
        for (_, _, y0, _, y1, size, _, mono), below in pairwise(lines):
            _, _, top, _, bottom, other, _, is_mono = below
            step = (top + bottom - (y0 + y1)) / 2
            if 0.8 * size < step < 2.2 * size:
                if styled != (size, mono):
                    style, styled = (round(size), mono), (size, mono)
                if (size == other and mono == is_mono) or style == _style(below):
                    steps.setdefault(style, []).append(step)
        # The lower quartile: distances between paragraphs are larger and must not count.
        self._usual = {style: sorted(found)[len(found) // 4] for style, found in steps.items() if len(found) >= 3}
        self._least = {style: min(found) for style, found in steps.items()}
        self._known: dict[tuple[float, bool], float] = {}

    def of(self, line: Run) -> float:
        """Return the distance that a line of this type usually has from the one above it."""
        key = (line.size, line.mono)
        found = self._known.get(key)
        if found is None:
            style = _style(line)
            found = self._usual.get(style, min(1.35 * line.size, self._least.get(style, 1.35 * line.size)))
            self._known[key] = found
        return found


def _style(line: Run) -> tuple[int, bool]:
    return round(line.size), line.mono
