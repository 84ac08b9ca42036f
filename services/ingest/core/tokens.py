"""Tokens of a long text, found piece by piece in linear time and little memory."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence

from services.ingest.core.document import Block

Encode = Callable[[str], Sequence[int]]
"""Returns for each token of a text the code point at which it begins, in rising order."""

Count = Callable[[str], int]
"""Returns how many tokens a text has."""

PIECE = 8_192


class TokenMap:
    """Where the tokens of a text begin.

    The text is encoded once, in pieces that end between blocks or words, so a count over a range is an estimate that is
    off by a token or two at its ends.
    """

    def __init__(self, text: str, blocks: Sequence[Block], encode: Encode) -> None:
        self._length = len(text)
        self._starts = array("q")
        for start, end in pieces(text, blocks):
            self._starts.extend([start + offset for offset in encode(text[start:end])])

    def count(self, start: int, end: int) -> int:
        """Return about how many tokens a range has."""
        return bisect_left(self._starts, end) - bisect_left(self._starts, start)

    def after(self, start: int, tokens: int) -> int:
        """Return the position that about so many tokens after a position lead to, at most the text's end."""
        index = bisect_left(self._starts, start) + tokens
        return self._starts[index] if index < len(self._starts) else self._length

    def before(self, end: int, tokens: int) -> int:
        """Return the position that about so many tokens before a position begin at, at least 0."""
        index = bisect_left(self._starts, end) - tokens
        return self._starts[index] if index > 0 else 0


def pieces(text: str, blocks: Sequence[Block]) -> Iterator[tuple[int, int]]:
    """Yield ranges that cover the text, at most PIECE long, ending where a block begins or else after a word."""
    start = 0
    for block in blocks:
        if block.end - start <= PIECE:
            continue
        if start < block.start:
            yield from _divided(text, start, block.start)
        start = block.start
    if start < len(text):
        yield from _divided(text, start, len(text))


def _divided(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    while end - start > PIECE:
        cut = max(text.rfind(" ", start, start + PIECE), text.rfind("\n", start, start + PIECE))
        # Byte-level tokens carry the space before a word, so the space goes with the next piece.
        cut = cut if cut > start else start + PIECE
        yield start, cut
        start = cut
    yield start, end
