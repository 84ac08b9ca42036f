"""A comparison of runs as one web page that needs nothing else: its plots are drawn in the page itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from finetuneflow_client.cli.view.curve import Point

_COLOURS = ("#1f6feb", "#bf3989", "#9a6700", "#1a7f37", "#cf222e", "#8250df", "#0a7ea4", "#6e7781")
_WIDTH, _HEIGHT, _LEFT, _TOP, _BOTTOM = 860, 340, 64, 16, 36
_BAR = 26
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; color: #1f2328 }
table { border-collapse: collapse; display: block; overflow-x: auto }
th, td { border-bottom: 1px solid #d1d9e0; padding: .3rem .8rem; text-align: left; white-space: nowrap }
svg { max-width: 100%; height: auto } text { font: 12px system-ui, sans-serif; fill: #59636e }
"""


def page(
    title: str,
    table: Sequence[Sequence[str]],
    curves: Mapping[str, Sequence[Point]],
    held_out: Mapping[str, float],
) -> str:
    """Return the page.

    Args:
        title: what is compared.
        table: a head and rows.
        curves: run → its training loss by step; those without points are left out.
        held_out: run → loss on documents held out.
    """
    colours = {name: _COLOURS[number % len(_COLOURS)] for number, name in enumerate(table[0][1:])}
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body><h1>{escape(title)}</h1>",
        _table(table, colours),
    ]
    if drawn := {name: points for name, points in curves.items() if points}:
        parts += ["<h2>Training loss, nats per token, by step</h2>", curve_plot(drawn, colours)]
    if held_out:
        parts += ["<h2>Loss on held-out examples: lower is better</h2>", bar_plot(held_out, colours)]
    return "\n".join([*parts, "</body></html>\n"])


def _table(table: Sequence[Sequence[str]], colours: Mapping[str, str]) -> str:
    head, *rows = table
    marked = "".join(f"<th>{_mark(name, colours)}</th>" for name in head)
    lines = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>\n" for row in rows)
    return f"<table><tr>{marked}</tr>\n{lines}</table>"


def _mark(name: str, colours: Mapping[str, str]) -> str:
    return f'<span style="color:{colours[name]}">■</span> {escape(name)}' if name else ""


def curve_plot(curves: Mapping[str, Sequence[Point]], colours: Mapping[str, str]) -> str:
    """Return a line for each run as SVG."""
    values = [y for points in curves.values() for _, y in points]
    low, high = min(values), max(values)
    span = high - low or 1.0
    right = max(x for points in curves.values() for x, _ in points) or 1.0

    def at(point: Point) -> str:
        x = _LEFT + point[0] / right * (_WIDTH - _LEFT - 10)
        y = _TOP + (high - point[1]) / span * (_HEIGHT - _TOP - _BOTTOM)
        return f"{x:.1f},{y:.1f}"

    floor = _HEIGHT - _BOTTOM
    lines = [
        f'<path d="M{_LEFT} {_TOP}V{floor}H{_WIDTH - 10}" fill="none" stroke="#d1d9e0"/>',
        f'<text x="{_LEFT - 8}" y="{_TOP + 5}" text-anchor="end">{high:.3f}</text>',
        f'<text x="{_LEFT - 8}" y="{floor}" text-anchor="end">{low:.3f}</text>',
        f'<text x="{_LEFT}" y="{floor + 18}">0</text>',
        f'<text x="{_WIDTH - 10}" y="{floor + 18}" text-anchor="end">{right:.0f}</text>',
        *(
            f'<polyline points="{" ".join(map(at, points))}" fill="none" stroke="{colours[name]}" stroke-width="1.6">'
            f"<title>{escape(name)}</title></polyline>"
            for name, points in curves.items()
        ),
    ]
    return _svg("Training loss of each run", _HEIGHT, lines)


def bar_plot(values: Mapping[str, float], colours: Mapping[str, str]) -> str:
    """Return a bar for each run as SVG, in the order given."""
    most = max(values.values()) or 1.0
    lines = []
    for place, (name, value) in enumerate(values.items()):
        y = place * _BAR
        width = value / most * (_WIDTH - 320)
        lines.append(
            f'<text x="190" y="{y + 17}" text-anchor="end">{escape(name)}</text>'
            f'<rect x="200" y="{y + 4}" width="{width:.1f}" height="{_BAR - 8}" fill="{colours[name]}"/>'
            f'<text x="{206 + width:.1f}" y="{y + 17}">{value:.4f}</text>'
        )
    return _svg("Loss on held-out examples of each run", len(values) * _BAR + 4, lines)


def _svg(label: str, height: int, lines: Sequence[str]) -> str:
    body = "\n".join(lines)
    return f'<svg viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" role="img" aria-label="{label}">\n{body}\n</svg>'
