"""The direction in which a PDF page is read."""

from __future__ import annotations

from dataclasses import dataclass

from services.ingest.core.layout.page import Rule

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Frame:
    """The direction in which a page is read, in quarter turns counter-clockwise of the page's own space."""

    turns: int = 0

    def box(self, left: float, bottom: float, right: float, top: float) -> Box:
        """Return a box of the page's space as x0, y0, x1, y1 in reading direction, y downwards."""
        if self.turns == 0:
            return left, -top, right, -bottom
        if self.turns == 1:
            return bottom, left, top, right
        if self.turns == 2:
            return -right, bottom, -left, top
        return -top, -right, -bottom, -left

    def rule(self, line: Box, page: Box) -> Rule:
        """Return a drawn line of the page's space as a rule in reading direction."""
        x0, y0, x1, y1 = self.box(*line)
        return Rule(x0 - page[0], y0 - page[1], x1 - page[0], y1 - page[1])
