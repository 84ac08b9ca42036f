"""Charts as PNG: bars that lie, and a histogram that stands."""

from __future__ import annotations

import io
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

WIDTH, ROW, MARGIN = 960, 30, 24
LABELS = 230
INK, QUIET, GRID, PAPER = "#1f2933", "#616e7c", "#e4e7eb", "#ffffff"
COLOURS = ("#2b6cb0", "#c05621", "#718096", "#2f855a", "#805ad5")
Bar = tuple[str, Sequence[int], str]
"""A label, one or more parts, and what stands behind the bar."""


def bars(title: str, rows: Sequence[Bar], legend: Sequence[str] = ()) -> bytes:
    """Return a chart of lying bars, one a row, each of parts in the colours of the legend."""
    top = MARGIN + 44 + (26 if legend else 0)
    image = Image.new("RGB", (WIDTH, top + ROW * max(1, len(rows)) + MARGIN), PAPER)
    draw = ImageDraw.Draw(image)
    draw.text((MARGIN, MARGIN), title, fill=INK, font=_font(20))
    _legend(draw, legend, MARGIN + 36)
    most = max((sum(parts) for _, parts, _ in rows), default=0) or 1
    room = WIDTH - 2 * MARGIN - LABELS - 210
    for number, (label, parts, behind) in enumerate(rows):
        y = top + ROW * number
        name = _fitted(draw, label, LABELS - 14, _font(14))
        draw.text((MARGIN + LABELS - 12, y + ROW / 2), name, fill=INK, font=_font(14), anchor="rm")
        x = float(MARGIN + LABELS)
        for colour, part in zip(COLOURS, parts, strict=False):
            width = room * part / most
            if part:
                draw.rectangle((x, y + 5, x + max(1.0, width), y + ROW - 5), fill=colour)
            x += width
        tail = _fitted(draw, behind, WIDTH - MARGIN - x - 8, _font(13))
        draw.text((x + 8, y + ROW / 2), tail, fill=QUIET, font=_font(13), anchor="lm")
    if not rows:
        draw.text((MARGIN, top), "nothing", fill=QUIET, font=_font(14))
    return _png(image)


def columns(title: str, classes: Sequence[tuple[int, int, int]], unit: str, mark: int = 0) -> bytes:
    """Return a histogram of (from, to, count); `mark` draws a line at a value, 0 for none."""
    height, top, bottom = 420, MARGIN + 48, 360
    image = Image.new("RGB", (WIDTH, height), PAPER)
    draw = ImageDraw.Draw(image)
    draw.text((MARGIN, MARGIN), title, fill=INK, font=_font(20))
    left, right = MARGIN + 60, WIDTH - MARGIN
    # A height that four lines divide into whole numbers.
    most = 4 * max(1, -(-max((count for _, _, count in classes), default=0) // 4))
    for quarter in range(5):
        y = bottom - (bottom - top) * quarter / 4
        draw.line((left, y, right, y), fill=GRID)
        draw.text((left - 8, y), f"{most * quarter / 4:,.0f}", fill=QUIET, font=_font(12), anchor="rm")
    if classes:
        first, last = classes[0][0], classes[-1][1]
        scale = (right - left) / max(1, last - first)
        for start, end, count in classes:
            x, until = left + (start - first) * scale, left + (end - first) * scale
            draw.rectangle((x + 1, bottom - (bottom - top) * count / most, until - 1, bottom), fill=COLOURS[0])
        every = -(-len(classes) // 10)
        for start, _, _ in classes[::every]:
            draw.text(
                (left + (start - first) * scale, bottom + 8), f"{start:,}", fill=QUIET, font=_font(12), anchor="ma"
            )
        if first < mark < last:
            x = left + (mark - first) * scale
            draw.line((x, top, x, bottom), fill=COLOURS[1], width=2)
            draw.text((x + 6, top), f"max_length {mark:,}", fill=COLOURS[1], font=_font(13))
    draw.text(((left + right) / 2, height - 14), unit, fill=QUIET, font=_font(13), anchor="mb")
    return _png(image)


def _legend(draw: ImageDraw.ImageDraw, names: Sequence[str], y: int) -> None:
    x = float(MARGIN + LABELS)
    for colour, name in zip(COLOURS, names, strict=False):
        draw.rectangle((x, y + 3, x + 12, y + 15), fill=colour)
        draw.text((x + 18, y), name, fill=QUIET, font=_font(13))
        x += 18 + draw.textlength(name, font=_font(13)) + 24


def _fitted(draw: ImageDraw.ImageDraw, text: str, room: float, font: ImageFont.FreeTypeFont) -> str:
    """Return a text, shortened to what fits."""
    if draw.textlength(text, font=font) <= room:
        return text
    while text and draw.textlength(text + "…", font=font) > room:
        text = text[:-1]
    return text + "…" if text else ""


def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise TypeError("Pillow was built without FreeType")
    return font


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
