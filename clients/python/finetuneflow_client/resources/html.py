"""What a notebook shows: facts, the curve of a loss, a text with its evidence marked. Everything is escaped."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

Point = tuple[float, float]

_WIDTH, _HEIGHT = 560, 180
_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 8, 8, 24
_MOST_POINTS = 400
_LINES = ("#1f77b4", "#d62728")


def facts(found: Mapping[str, object]) -> str:
    """Return what is known as a table, one row each; what is empty is left out."""
    cell = "padding:2px 10px 2px 0;text-align:left;vertical-align:top;white-space:pre-wrap"
    rows = (
        f'<tr><th style="{cell};font-weight:normal;opacity:.7">{escape(name)}</th><td style="{cell}">{value}</td></tr>'
        for name, text in found.items()
        if (value := text if isinstance(text, Html) else escape(str(text)))
    )
    return f'<table style="border-collapse:collapse">{"".join(rows)}</table>'


class Html(str):
    """A text that is HTML already."""


def marked(text: str, evidence: str) -> Html:
    """Return a text with the place of its evidence marked; evidence that is not in it stands alone, after it."""
    start = text.find(evidence) if evidence else -1
    if start < 0:
        rest = f"<mark>{escape(evidence)}</mark>" if evidence else ""
        return Html(" … ".join(part for part in (escape(text), rest) if part))
    end = start + len(evidence)
    return Html(f"{escape(text[:start])}<mark>{escape(evidence)}</mark>{escape(text[end:])}")


def curves(lines: Mapping[str, Sequence[Point]]) -> str:
    """Return lines by their names as one SVG with its axes; "" without a point.

    Lines of more than 400 points are drawn with the mean of each group; what is no finite number is left out.
    """
    finite = {name: [point for point in points if all(map(math.isfinite, point))] for name, points in lines.items()}
    drawn = {name: _thinned(points) for name, points in finite.items() if points}
    if not drawn:
        return ""
    xs = [x for points in drawn.values() for x, _ in points]
    ys = [y for points in drawn.values() for _, y in points]
    left, right, low, high = min(xs), max(xs), min(ys), max(ys)
    wide, tall = (right - left) or 1.0, (high - low) or 1.0

    def place(point: Point) -> str:
        x = _LEFT + (point[0] - left) / wide * (_WIDTH - _LEFT - _RIGHT)
        y = _TOP + (high - point[1]) / tall * (_HEIGHT - _TOP - _BOTTOM)
        return f"{x:.1f},{y:.1f}"

    base = _HEIGHT - _BOTTOM
    words = [
        _word(_LEFT - 6, _TOP + 10, "end", f"{high:.3g}"),
        _word(_LEFT - 6, base, "end", f"{low:.3g}"),
        _word(_LEFT, _HEIGHT - 6, "start", f"step {left:g}"),
        _word(_WIDTH - _RIGHT, _HEIGHT - 6, "end", f"{right:g}"),
    ]
    parts = [f'<path d="M{_LEFT},{_TOP}V{base}H{_WIDTH - _RIGHT}" fill="none" stroke="currentColor" opacity=".4"/>']
    for number, (name, points) in enumerate(drawn.items()):
        colour = _LINES[number % len(_LINES)]
        dots = " ".join(map(place, points))
        parts.append(f'<polyline points="{dots}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        words.append(_word(_LEFT + 90 + 110 * number, _HEIGHT - 6, "start", name, colour))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}" '
        f'role="img" aria-label="{escape(", ".join(drawn))} by step">{"".join([*parts, *words])}</svg>'
    )


def _word(x: float, y: float, anchor: str, text: str, colour: str = "currentColor") -> str:
    style = f'font-size="11" font-family="sans-serif" text-anchor="{anchor}" fill="{colour}"'
    return f'<text x="{x}" y="{y}" {style}>{escape(text)}</text>'


def _thinned(points: Sequence[Point]) -> list[Point]:
    size = -(-len(points) // _MOST_POINTS)
    groups = [points[start : start + size] for start in range(0, len(points), size)]
    return [(sum(x for x, _ in group) / len(group), sum(y for _, y in group) / len(group)) for group in groups]
