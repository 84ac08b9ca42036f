"""Proof that chunks leave nothing out without a reason."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from services.ingest.core.document import ExtractedDocument

WHITESPACE = "WHITESPACE"


class Uncovered(Exception):
    """A part of the text would be lost without a reason, or would be in a chunk although it is no content."""


@dataclass(frozen=True, slots=True)
class Gap:
    """A part of a text that no chunk holds.

    Args:
        start: first code point.
        end: one past the last.
        reason: WHITESPACE, or why the part was removed.
    """

    start: int
    end: int
    reason: str


class Coverage:
    """Follows chunks through a text: their spans and the gaps together are the text, without a hole.

    Attributes:
        covered: code points in chunks, those of overlaps once.
        dropped: code points in gaps, by reason. covered and these add up to all that was passed.
        count: gaps so far.
    """

    def __init__(self, document: ExtractedDocument) -> None:
        self._text = document.text
        self._removed = [part for part in document.removed if part.start < part.end]
        self._next = 0
        self._done = 0
        self.covered = 0
        self.count = 0
        self.dropped: dict[str, int] = {}

    def take(self, spans: Sequence[tuple[int, int]]) -> list[Gap]:
        """Pass the next chunk's spans; return the gaps from the end of the chunk before to the end of this one.

        Raises:
            Uncovered: what lies between is neither removed nor white space, or something removed is in a span.
        """
        found: list[Gap] = []
        for start, end in spans:
            if start > self._done:
                found.extend(self._gaps(start))
            if self._next < len(self._removed) and self._removed[self._next].start < end:
                raise Uncovered(f"a chunk holds the removed part at {self._removed[self._next].start}")
            self.covered += max(0, end - self._done)
            self._done = max(end, self._done)
        return self._counted(found)

    def rest(self) -> list[Gap]:
        """Pass the end of the text; return the gaps after the last chunk. Raises as take does."""
        return self._counted(list(self._gaps(len(self._text))))

    def _gaps(self, end: int) -> Iterator[Gap]:
        while self._next < len(self._removed) and self._removed[self._next].start < end:
            part = self._removed[self._next]
            self._next += 1
            yield from self._blank(part.start)
            yield Gap(part.start, part.end, part.reason)
            self._done = part.end
        yield from self._blank(end)

    def _blank(self, end: int) -> Iterator[Gap]:
        if self._done < end:
            if not self._text[self._done : end].isspace():
                raise Uncovered(f"text from {self._done} to {end} is in no chunk")
            yield Gap(self._done, end, WHITESPACE)
            self._done = end

    def _counted(self, gaps: list[Gap]) -> list[Gap]:
        self.count += len(gaps)
        for gap in gaps:
            self.dropped[gap.reason] = self.dropped.get(gap.reason, 0) + gap.end - gap.start
        return gaps
