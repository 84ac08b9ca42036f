"""The part of a text that is content, in coordinates of its own."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise

from services.ingest.core.document import Block, Removed


class KeptText:
    """A text without its removed parts, and the way between both kinds of positions.

    Args:
        text: all of it.
        removed: its parts that are no content, in order and apart from each other.
    """

    def __init__(self, text: str, removed: Sequence[Removed]) -> None:
        self._removed = bool(removed)
        edges = [0, *(edge for part in removed for edge in (part.start, part.end)), len(text)]
        # Even gaps of the edges are kept, odd ones removed.
        self._spans = [(a, b) for index, (a, b) in enumerate(pairwise(edges)) if index % 2 == 0 and a < b]
        self.text = "".join(text[a:b] for a, b in self._spans) if removed else text
        self._outer = [a for a, _ in self._spans]
        self._starts: list[int] = []
        total = 0
        for a, b in self._spans:
            self._starts.append(total)
            total += b - a

    def inner(self, position: int) -> int:
        """Return where a position of the whole text stands in the kept text; a removed one stands at its gap."""
        index = bisect_right(self._outer, position) - 1
        if index < 0:
            return 0
        a, b = self._spans[index]
        return self._starts[index] + min(position, b) - a

    def spans(self, start: int, end: int) -> list[tuple[int, int]]:
        """Return the ranges of the whole text that a range of the kept text stands for, in order."""
        index = max(bisect_right(self._starts, start) - 1, 0)
        found = []
        while index < len(self._spans) and self._starts[index] < end:
            a, b = self._spans[index]
            base = self._starts[index]
            first, last = max(start - base, 0), min(end - base, b - a)
            if first < last:
                found.append((a + first, a + last))
            index += 1
        return found

    def blocks(self, blocks: Sequence[Block]) -> list[Block]:
        """Return the blocks in positions of the kept text; a block that was removed is left out."""
        if not self._removed:
            return [block for block in blocks if block.start < block.end]
        moved = (Block(self.inner(b.start), self.inner(b.end), b.kind, b.heading, b.number, b.head) for b in blocks)
        return [block for block in moved if block.start < block.end]
