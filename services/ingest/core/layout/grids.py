"""Tables whose cells are drawn: found by their lines."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from services.ingest.core.layout.page import Rule, Run, Table, joined, rows_of

_NEAR = 3.0
_MOST_RULES = 4_000


def ruled_tables(rules: Sequence[Rule], runs: Sequence[Run]) -> tuple[list[Table], list[Run]]:
    """Return the tables that lines enclose, and the runs that stand in none.

    A table has at least two rows and two columns, with text in at least two columns and two rows.
    """
    tables: list[Table] = []
    left = list(runs)
    if len(rules) > _MOST_RULES:
        return tables, left
    for group in _groups(rules):
        ys = _lines(rule.y0 for rule in group if rule.y0 == rule.y1)
        xs = _lines(rule.x0 for rule in group if rule.x0 == rule.x1)
        if len(ys) < 3 or len(xs) < 3:
            continue
        inside = [run for run in left if xs[0] < (run.x0 + run.x1) / 2 < xs[-1] and ys[0] < run.middle < ys[-1]]
        if any(run.x0 < xs[0] - _NEAR or run.x1 > xs[-1] + _NEAR for run in inside):
            continue
        table = _table(xs, ys, inside)
        if table:
            tables.append(table)
            taken = set(map(id, inside))
            left = [run for run in left if id(run) not in taken]
    return tables, left


def _table(xs: list[float], ys: list[float], inside: Iterable[Run]) -> Table | None:
    cells: dict[tuple[int, int], list[Run]] = {}
    for run in inside:
        row = sum(run.middle >= y for y in ys) - 1
        column = sum(run.x0 + min(run.width / 2, _NEAR) >= x for x in xs) - 1
        cells.setdefault((row, max(column, 0)), []).append(run)
    used_rows = sorted({row for row, _ in cells})
    used_columns = sorted({column for _, column in cells})
    if len(used_rows) < 2 or len(used_columns) < 2:
        return None
    rows = [[_text(cells.get((row, column), ())) for column in used_columns] for row in used_rows]
    return Table(rows, xs[0], ys[0], xs[-1], ys[-1])


def _text(runs: Iterable[Run]) -> str:
    return " ".join(joined(row).text for row in rows_of(runs))


def _lines(values: Iterable[float]) -> list[float]:
    """Return positions in order, those that are nearly the same as one."""
    found: list[float] = []
    for value in sorted(values):
        if not found or value - found[-1] > _NEAR:
            found.append(value)
    return found


def _groups(rules: Sequence[Rule]) -> list[list[Rule]]:
    """Return rules that touch each other, directly or through others, as groups."""
    groups: list[list[Rule]] = []
    boxes: list[tuple[float, float, float, float]] = []
    for rule in sorted(rules, key=lambda r: (r.y0, r.x0)):
        box = (rule.x0, rule.y0, rule.x1, rule.y1)
        members = [rule]
        keep_groups, keep_boxes = [], []
        for group, other in zip(groups, boxes, strict=True):
            if _touch(box, other):
                members = group + members
                box = (min(box[0], other[0]), min(box[1], other[1]), max(box[2], other[2]), max(box[3], other[3]))
            else:
                keep_groups.append(group)
                keep_boxes.append(other)
        groups, boxes = [*keep_groups, members], [*keep_boxes, box]
    return groups


def _touch(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> bool:
    across = a[0] <= b[2] + _NEAR and b[0] <= a[2] + _NEAR
    return across and a[1] <= b[3] + _NEAR and b[1] <= a[3] + _NEAR
