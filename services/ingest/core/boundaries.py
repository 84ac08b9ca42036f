"""Where a text may be cut, from the best places to the worst."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Container, Sequence
from itertools import pairwise

from services.ingest.core.document import Block
from services.ingest.core.sentences import sentence_ends

_LINE_END = re.compile("\n")


class Boundaries:
    """The blocks of a text and the places between and inside them.

    Args:
        text: the kept text.
        blocks: its blocks in order, apart from each other; what stands outside them is white space.
    """

    def __init__(self, text: str, blocks: Sequence[Block]) -> None:
        self._text = text
        self.blocks = blocks
        self._starts = [block.start for block in blocks]
        self._ends = [block.end for block in blocks]
        self.sections: list[int] = []
        self.paragraphs: list[int] = []
        self.held: list[int] = []
        for block, following in pairwise(blocks):
            if block.kind == "heading":
                # A heading stays with what follows, so this is a place of last resort.
                self.held.append(block.end)
            elif following.kind == "heading":
                self.sections.append(block.end)
                self.paragraphs.append(block.end)
            else:
                self.paragraphs.append(block.end)
        self._inner: dict[int, list[int]] = {}

    def before_headings(self, numbers: Container[int]) -> list[int]:
        """Return the ends of blocks before headings of these numbers; headings in a row stay together."""
        return [
            block.end
            for block, following in pairwise(self.blocks)
            if following.kind == "heading" and block.kind != "heading" and following.number in numbers
        ]

    def split_by(self, position: int) -> Block | None:
        """Return the block that a cut at this position would go through, or None."""
        index = bisect_right(self._starts, position) - 1
        if index < 0:
            return None
        block = self.blocks[index]
        return block if block.start < position < block.end else None

    def at(self, position: int) -> Block | None:
        """Return the block that holds a position, or else the next one."""
        index = bisect_right(self._ends, position)
        return self.blocks[index] if index < len(self.blocks) else None

    def between(self, start: int, end: int) -> Sequence[Block]:
        """Return the blocks that share a code point with a range."""
        return self.blocks[bisect_right(self._ends, start) : bisect_left(self._starts, end)]

    def inner_ends(self, block: Block) -> list[int]:
        """Return the good places inside a block: after sentences, or after rows and lines of tables and code."""
        found = self._inner.get(block.start)
        if found is None:
            if block.kind in ("table", "code"):
                found = self._line_ends(block)
            else:
                found = sentence_ends(self._text, block.start, block.end)
            # The cutter moves forward: blocks far behind are not asked about again.
            if len(self._inner) > 64:
                self._inner.clear()
            self._inner[block.start] = found
        return found

    def _line_ends(self, block: Block) -> list[int]:
        return [end.start() for end in _LINE_END.finditer(self._text, block.start + block.head, block.end)]

    def word_end(self, after: int, until: int) -> int:
        """Return the last line end, else the last word end, in (after, until]; -1 if there is none."""
        line = self._text.rfind("\n", after + 1, until + 1)
        if line > after + (until - after) // 2:
            return line
        for position in range(until, after, -1):
            if self._text[position : position + 1].isspace() and not self._text[position - 1].isspace():
                return position
        return -1

    def word_start(self, start: int, end: int) -> int:
        """Return the first place in [start, end) where a word begins after white space; -1 if there is none."""
        for position in range(max(start, 1), end):
            if self._text[position - 1].isspace() and not self._text[position].isspace():
                return position
        return -1


def last_in(places: Sequence[int], after: int, until: int) -> int:
    """Return the last of some rising places in (after, until], or -1."""
    index = bisect_right(places, until) - 1
    return places[index] if index >= 0 and places[index] > after else -1


def first_in(places: Sequence[int], start: int, end: int) -> int:
    """Return the first of some rising places in [start, end), or -1."""
    index = bisect_left(places, start)
    return places[index] if index < len(places) and places[index] < end else -1
