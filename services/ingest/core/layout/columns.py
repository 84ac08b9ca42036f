"""The order in which the parts of a page are read."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from services.ingest.core.layout.page import Run, Table, rows_of

Element = Run | Table

_STEP = 2.0
_GUTTER = 8.0
_LEAST_LINES = 3
_MOST_CROSSING = 0.25


def flows(elements: Sequence[Element]) -> list[list[Element]]:
    """Return the columns of a page in reading order, each a list of elements in no order.

    Where a gutter runs between lines of prose, what is left of it is read before what is right of it. Elements that
    cross the gutter, such as a title over two columns, divide the page into bands that are read from top to bottom.
    Cells of a table are no columns: short texts side by side stay in one flow.
    """
    gutter = _gutter(elements)
    if gutter is None:
        return [list(elements)] if elements else []
    crossing = sorted((e for e in elements if e.x0 < gutter < e.x1), key=lambda e: e.y0)
    beside = [e for e in elements if not e.x0 < gutter < e.x1]
    found: list[list[Element]] = []
    edges = [element.y0 for element in crossing]
    for index in range(len(edges) + 1):
        above = edges[index - 1] if index else float("-inf")
        below = edges[index] if index < len(edges) else float("inf")
        band = [e for e in beside if above <= e.y0 < below]
        if index:
            _append(found, [crossing[index - 1]])
        left = [e for e in band if e.x1 <= gutter]
        right = [e for e in band if e.x0 >= gutter]
        if left and right and (_prose(left) or _prose(right)):
            for side in (left, right):
                found.extend(flows(side))
        else:
            _append(found, band)
    return found


def _append(found: list[list[Element]], elements: list[Element]) -> None:
    """Add elements to the last flow if they go on in its width, else as a flow of their own."""
    if not elements:
        return
    if found and _width(found[-1]) > 0.8 * _width([*found[-1], *elements]):
        found[-1].extend(elements)
    else:
        found.append(elements)


def _width(elements: Sequence[Element]) -> float:
    return max(e.x1 for e in elements) - min(e.x0 for e in elements)


def _gutter(elements: Sequence[Element]) -> float | None:
    """Return the middle of the best gutter, or None: a strip that few elements cross, with prose on both sides."""
    if len(elements) < 2 * _LEAST_LINES:
        return None
    # A gutter has three elements on either side.
    ends, begins = sorted(e.x1 for e in elements), sorted(e.x0 for e in elements)
    if ends[_LEAST_LINES - 1] > begins[-_LEAST_LINES]:
        return None
    x0, x1 = begins[0], ends[-1]
    bins = int((x1 - x0) / _STEP) + 1
    cover = [0] * (bins + 1)
    for element in elements:
        cover[int((element.x0 - x0) / _STEP)] += 1
        cover[int((element.x1 - x0) / _STEP) + 1 if element.x1 < x1 else bins] -= 1
    total = 0
    for index in range(bins):
        total += cover[index]
        cover[index] = total
    best: tuple[int, float, float] | None = None
    for first, last, crossing in _strips(cover[:bins], len(elements)):
        left, right = x0 + first * _STEP, x0 + last * _STEP
        middle = (left + right) / 2
        if right - left < _GUTTER or not _both_sides(elements, middle):
            continue
        if best is None or (crossing, left - right) < best[:2]:
            best = (crossing, left - right, middle)
    return best[2] if best else None


def _strips(cover: Sequence[int], count: int) -> list[tuple[int, int, int]]:
    """Return maximal runs of bins that at most a quarter of the elements cover, as (first, end, most covering)."""
    limit = int(_MOST_CROSSING * count)
    levels = sorted({c for c in cover if c <= limit})[:4]
    found = []
    for level in levels:
        first = None
        for index, value in enumerate([*cover, limit + 1]):
            if value <= level and first is None:
                first = index
            elif value > level and first is not None:
                found.append((first, index, level))
                first = None
    return found


def _both_sides(elements: Sequence[Element], middle: float) -> bool:
    left = [e for e in elements if e.x1 <= middle]
    right = [e for e in elements if e.x0 >= middle]
    return len(left) >= _LEAST_LINES and len(right) >= _LEAST_LINES and _prose(left) and _prose(right)


def _prose(elements: Sequence[Element]) -> bool:
    """Whether elements read as lines of text that fill their column, rather than as cells of a table."""
    runs = [e for e in elements if isinstance(e, Run)]
    if len(runs) < len(elements) / 2 or len(runs) < 2:
        return len(elements) > len(runs)
    rows = rows_of(runs)
    widths = [sum(run.width for run in row) for row in rows]
    letters = [sum(len(run.text) for run in row) for row in rows]
    return median(widths) > 0.55 * _width(runs) and median(letters) >= 16
