"""Curves drawn with braille characters: each is a cell of 2 × 4 dots."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

Point = tuple[float, float]

_BLANK = 0x2800
# Bit of each dot, by row and column within a cell.
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))


@dataclass(frozen=True)
class Frame:
    """The part of the plane that is drawn.

    Attributes:
        width, height: in characters.
        right: x at the right edge; the left edge is 0.
        low, high: y at the lower and the upper edge, low < high.
    """

    width: int
    height: int
    right: float
    low: float
    high: float

    def dot(self, point: Point) -> tuple[int, int]:
        """Return the dot, as column and row from the upper left, that a point falls on; outside points on the edge."""
        across, down = self.width * 2 - 1, self.height * 4 - 1
        x = round(point[0] / self.right * across) if self.right > 0 else 0
        y = round((self.high - point[1]) / (self.high - self.low) * down)
        return min(max(x, 0), across), min(max(y, 0), down)


def frame(series: Sequence[Sequence[Point]], width: int, height: int, right: float) -> Frame:
    """Return a frame that holds every point of every series."""
    values = [y for points in series for _, y in points] or [0.0]
    low, high = min(values), max(values)
    if high - low < 1e-9:
        low, high = low - 0.5, high + 0.5
    furthest = max((x for points in series for x, _ in points), default=1.0)
    return Frame(width, height, max(right, furthest), low, high)


def line(points: Sequence[Point], inside: Frame) -> list[str]:
    """Return one string per row of the frame: the points in order of x, joined; points in one column are averaged."""
    cells = [[_BLANK] * inside.width for _ in range(inside.height)]
    before: tuple[int, int] | None = None
    for x, y in _averaged(points, inside):
        for dot_x, dot_y in _between(before or (x, y), (x, y)):
            cells[dot_y // 4][dot_x // 2] |= _DOTS[dot_y % 4][dot_x % 2]
        before = (x, y)
    return ["".join(map(chr, row)) for row in cells]


def cells(points: Sequence[Point], inside: Frame) -> set[tuple[int, int]]:
    """Return the characters, as column and row, that points fall on."""
    return {(x // 2, y // 4) for x, y in map(inside.dot, points)}


def _averaged(points: Sequence[Point], inside: Frame) -> list[tuple[int, int]]:
    """Return one dot for each column that has points, at their mean."""
    columns: dict[int, list[float]] = {}
    for point in points:
        columns.setdefault(inside.dot(point)[0], []).append(point[1])
    return [(x, inside.dot((0, sum(ys) / len(ys)))[1]) for x, ys in sorted(columns.items())]


def _between(start: tuple[int, int], end: tuple[int, int]) -> list[tuple[int, int]]:
    """Return the dots on the straight way from one dot to another, both included."""
    steps = max(abs(end[0] - start[0]), abs(end[1] - start[1]), 1)
    return [
        (round(start[0] + (end[0] - start[0]) * i / steps), round(start[1] + (end[1] - start[1]) * i / steps))
        for i in range(steps + 1)
    ]
