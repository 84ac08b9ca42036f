"""Runs of text on a PDF page, as they grow."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from services.ingest.sandbox.pdfframe import Box

GAP = 0.95
"""Widest space between words, in font sizes; wider ones divide runs."""

BACK = -1.0
"""How far a character may begin before the end of the one before it, in font sizes."""

Style = tuple[int, float, bool, bool]
"""Quarter turns, size, bold and mono."""


@dataclass(slots=True)
class Growing:
    """A run that is being read."""

    turns: int
    size: float
    bold: bool
    mono: bool
    text: list[str] = field(default_factory=list)
    box: Box = (math.inf, math.inf, -math.inf, -math.inf)

    def add(self, text: str, box: Box) -> None:
        """Add text that stands in a box."""
        self.text.append(text)
        x0, y0, x1, y1 = self.box
        left, top, right, bottom = box
        self.box = (
            left if left < x0 else x0,
            top if top < y0 else y0,
            right if right > x1 else x1,
            bottom if bottom > y1 else y1,
        )

    def near(self, box: Box) -> bool:
        """Whether a character goes on in this line without a wide gap and without going back."""
        if not self.text or self.box[0] == math.inf:
            return True
        overlap = min(self.box[3], box[3]) - max(self.box[1], box[1])
        beside = overlap > 0.4 * min(box[3] - box[1], self.box[3] - self.box[1])
        return beside and BACK * self.size < box[0] - self.box[2] < GAP * self.size


class Runs:
    """The runs of a page in the order of the file."""

    def __init__(self) -> None:
        self.found: list[Growing] = []
        self.current: Growing | None = None

    def end_line(self) -> None:
        """End the current run."""
        self.current = None

    def space(self) -> None:
        """Add a space to the current run, if there is one."""
        if self.current:
            self.current.text.append(" ")

    def open(self, style: Style, box: Box) -> Growing:
        """Return the run in which a word of this style goes on: the current one if it stands near, else a new one.

        One line in several faces stays one run; it is bold or of fixed width only if all of it is.
        """
        turns, size, bold, mono = style
        current = self.current
        if current and current.turns == turns and current.near(box):
            current.bold, current.mono = current.bold and bold, current.mono and mono
            current.size = max(current.size, size)
            return current
        return self.begin(style)

    def begin(self, style: Style) -> Growing:
        """Begin a run."""
        current = self.current = Growing(*style)
        self.found.append(current)
        return current
