"""Which of the places where a text may be cut is taken."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from typing import Protocol

from services.ingest.core.boundaries import Boundaries, first_in, last_in
from services.ingest.core.document import Block
from services.ingest.core.tokens import TokenMap


@dataclass(frozen=True)
class Sizes:
    """How large a chunk may be.

    Args:
        tokens: most tokens.
        characters: most code points.
    """

    tokens: int
    characters: int


class Cuts(Protocol):
    """Chooses the ends and beginnings of chunks."""

    def first(self, position: int) -> int:
        """Return where a chunk begins whose first visible code point is at a position, or the end of the text."""
        ...

    def end(self, start: int, done: int, budget: int) -> int:
        """Return the best end after done for a chunk from start of about budget tokens.

        Returns done itself if there is an end only for a chunk that begins at done.
        """
        ...

    def wall(self, position: int) -> bool:
        """Whether nothing from before a position may be repeated after it."""
        ...

    def begin(self, begin: int, end: int) -> int:
        """Return the first good beginning of a chunk in [begin, end), or -1."""
        ...

    def above(self, start: int) -> str:
        """Return the line that a chunk from start lacks to be understood, such as its table's head, or ""."""
        ...


class StructureCuts:
    """Ends of sections and paragraphs, else of sentences, rows and lines, else of words, else anywhere.

    Args:
        apart: numbers of headings that always begin a chunk.
    """

    def __init__(
        self, text: str, bounds: Boundaries, tokens: TokenMap, sizes: Sizes, apart: Set[int] = frozenset()
    ) -> None:
        self._text = text
        self._bounds = bounds
        self._tokens = tokens
        self._sizes = sizes
        self._walls = bounds.before_headings(apart) if apart else []

    def first(self, position: int) -> int:
        """Return the position: chunks begin with something visible."""
        return position

    def end(self, start: int, done: int, budget: int) -> int:
        """Return the best place after done; see Cuts."""
        limit = min(self._tokens.after(start, budget), start + self._sizes.characters)
        wall = first_in(self._walls, done + 1, limit + 1)
        if wall >= 0:
            return wall
        if limit >= len(self._text):
            return len(self._text)
        if limit <= done:
            return done if start < done else done + 1
        bounds = self._bounds
        split = bounds.split_by(limit)
        whole = split is not None and self._fits(split) and (split.start > done or start < done)
        inside = split if split and not whole and split.kind != "heading" else None
        begun = self._tokens.index(start)
        for places, least in self._good_ends(inside, begun + budget // 2, begun + budget // 4):
            found = last_in(places, done, limit)
            if found >= 0 and (not least or self._tokens.index(found) > least):
                return found
        return self._poor_end(start, done, limit, None if whole else split)

    def _good_ends(self, inside: Block | None, half: int, quarter: int) -> Iterator[tuple[Sequence[int], int]]:
        """Yield places and how many tokens must begin before them, the best first. inside: a block that may be cut."""
        yield self._bounds.sections, half
        yield self._bounds.paragraphs, quarter
        inner = self._bounds.inner_ends(inside) if inside else []
        yield inner, quarter
        yield self._bounds.paragraphs, 0
        yield inner, 0

    def _poor_end(self, start: int, done: int, limit: int, split: Block | None) -> int:
        """Return a place in (done, limit] where no sentence or paragraph ends. split: the block that may be cut."""
        if split and split.kind != "heading":
            found = self._bounds.word_end(max(done, split.start), limit)
            return found if found >= 0 else limit
        held = last_in(self._bounds.held, done, limit)
        if held >= 0 or start < done:
            return max(held, done)
        found = self._bounds.word_end(done, limit)
        return found if found >= 0 else limit

    def _fits(self, block: Block) -> bool:
        """Whether a block must stay whole: a table or code that fits into a chunk of its own."""
        if block.kind not in ("table", "code") or block.end - block.start > self._sizes.characters:
            return False
        return self._tokens.count(block.start, block.end) <= self._sizes.tokens

    def wall(self, position: int) -> bool:
        """Whether a heading or nothing at all stands there."""
        following = self._bounds.at(position)
        return following is None or following.kind == "heading"

    def begin(self, begin: int, end: int) -> int:
        """Return the first good beginning in [begin, end): of a block, else of a sentence, else of a word; or -1."""
        starts = []
        for block in self._bounds.between(begin, end):
            if begin <= block.start < end:
                starts.append(block.start)
                break
            if block.kind in ("heading", "table", "code") and self._fits(block):
                continue
            inner = first_in(self._bounds.inner_ends(block), begin - 1, end - 1)
            starts.extend([visible(self._text, inner)] if inner >= 0 else [])
        good = [s for s in starts if begin <= s < end]
        if good:
            return min(good)
        split = self._bounds.split_by(begin)
        if split is not None and split.kind in ("heading", "table", "code"):
            return -1
        return self._bounds.word_start(begin, end)

    def above(self, start: int) -> str:
        """Return the head row of the table that start stands within, or ""."""
        block = self._bounds.at(start)
        if block is None or block.kind != "table" or start < block.start + block.head:
            return ""
        return self._text[block.start : block.start + block.head].partition("\n")[0]


def visible(text: str, position: int) -> int:
    """Return the first position from here on that is no white space; the text's length if there is none."""
    while position < len(text) and text[position].isspace():
        position += 1
    return position
