"""Tokens of a long text, found piece by piece in linear time and little memory."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from services.ingest.core.document import Block

Encode = Callable[[str], Sequence[int]]
"""Returns for each token of a text the code point at which it begins, in rising order."""

Count = Callable[[str], int]
"""Returns how many tokens a text has."""

PIECE = 4_096
"""Longest piece that is encoded at once unless the tokenizer says otherwise, in code points."""

_NEAR = 512
"""How far from an end of a range a joint is looked for, in code points."""


@dataclass(frozen=True)
class Tokenizer:
    """A tokenizer.

    Args:
        encode: where the tokens of a text begin.
        count: how many tokens a text has; the same as the length of what encode returns, but faster.
        joint: a regular expression that matches nothing but places, around which it looks one code point far. Whatever
            stands before and after such a place, no token reaches over it, and the tokens on one side are the same
            whether the other side is there or not. "" if no such place is known.
        piece: longest piece of a text that is encoded at once, in code points.
    """

    encode: Encode
    count: Count
    joint: str = ""
    piece: int = PIECE


class TokenMap:
    """Where the tokens of a text begin.

    The text is encoded once, in pieces that end between blocks or words.
    """

    def __init__(self, text: str, blocks: Sequence[Block], tokenizer: Tokenizer) -> None:
        self._text = text
        self._tokens = tokenizer
        self._joint = re.compile(tokenizer.joint) if tokenizer.joint else None
        self._last_joint = re.compile(f"(?s:.*)(?:{tokenizer.joint})")
        self._bases: list[int] = []
        self._before = [0]
        self._starts: list[Sequence[int]] = []
        self._torn: list[int] = []
        for start, end in self._pieces(blocks):
            starts = tokenizer.encode(text[start:end])
            if self._joint and start and not self._joint.match(text, start):
                self._torn.append(start)
            self._bases.append(start)
            self._before.append(self._before[-1] + len(starts))
            self._starts.append(starts)

    def _pieces(self, blocks: Sequence[Block]) -> Iterator[tuple[int, int]]:
        """Yield what is encoded at once: from joint to joint if one is near, else as `pieces` divides."""
        if self._joint is None:
            yield from pieces(self._text, blocks, self._tokens.piece)
            return
        start = 0
        while len(self._text) - start > self._tokens.piece:
            most = start + self._tokens.piece
            found = self._last_joint.match(self._text, max(most - _NEAR, start + 1), most)
            cut = found.end() if found else _after_word(self._text, start, most)
            yield start, cut
            start = cut
        if start < len(self._text):
            yield start, len(self._text)

    def index(self, position: int) -> int:
        """Return how many tokens begin before a position."""
        piece = bisect_right(self._bases, position) - 1
        if piece < 0:
            return 0
        return self._before[piece] + bisect_left(self._starts[piece], position - self._bases[piece])

    def _position(self, index: int) -> int:
        """Return where a token begins; the text's end if there are not so many."""
        if index >= self._before[-1]:
            return len(self._text)
        piece = bisect_right(self._before, index) - 1
        return self._bases[piece] + self._starts[piece][index - self._before[piece]]

    def count(self, start: int, end: int) -> int:
        """Return about how many tokens a range has: off by a token or two at its ends and at those of pieces."""
        return self.index(end) - self.index(start)

    def after(self, start: int, tokens: int) -> int:
        """Return the position that about so many tokens after a position lead to, at most the text's end."""
        return self._position(self.index(start) + tokens)

    def before(self, end: int, tokens: int) -> int:
        """Return the position that about so many tokens before a position begin at, at least 0."""
        index = self.index(end) - tokens
        return self._position(index) if index > 0 else 0

    def exact(self, start: int, end: int) -> int:
        """Return how many tokens the range has as a text of its own.

        Between its first and its last joint they are those of the whole text, so only its ends are encoded again.
        """
        inner = self._joints(start, end)
        if inner is None:
            return self._tokens.count(self._text[start:end])
        first, last = inner
        tokens = self.count(first, last)
        if start < first:
            tokens += self._tokens.count(self._text[start:first])
        if last < end:
            tokens += self._tokens.count(self._text[last:end])
        return tokens

    def _joints(self, start: int, end: int) -> tuple[int, int] | None:
        """Return the first and the last joint near the ends of a range, or None if its middle is not to be had."""
        if self._joint is None:
            return None
        first = self._joint.search(self._text, start, min(start + _NEAR, end))
        last = self._last_joint.match(self._text, max(end - _NEAR, start), end + 1)
        if first is None or last is None or last.end() < first.start():
            return None
        torn = bisect_right(self._torn, first.start())
        whole = torn == len(self._torn) or self._torn[torn] >= last.end()
        return (first.start(), last.end()) if whole else None


def pieces(text: str, blocks: Sequence[Block], most: int) -> Iterator[tuple[int, int]]:
    """Yield ranges that cover the text, at most so long, ending where a block begins or else after a word."""
    start = 0
    for block in blocks:
        if block.end - start <= most:
            continue
        if start < block.start:
            yield from _divided(text, start, block.start, most)
        start = block.start
    if start < len(text):
        yield from _divided(text, start, len(text), most)


def _divided(text: str, start: int, end: int, most: int) -> Iterator[tuple[int, int]]:
    while end - start > most:
        cut = _after_word(text, start, start + most)
        yield start, cut
        start = cut
    yield start, end


def _after_word(text: str, start: int, most: int) -> int:
    """Return the last place after a word of a range, before the space that byte-level tokens carry with the next."""
    cut = max(text.rfind(" ", start, most), text.rfind("\n", start, most))
    return cut if cut > start else most
