"""Cutting a text into chunks.

A cut falls at the end of a section or paragraph, else of a sentence, a table's row or a line of code, else of a word,
else anywhere. Headings stay with what follows them. A table or a piece of code that fits into one chunk is not cut.
Between chunks only white space is left out. No chunk has more tokens than allowed, counted over its own text; only a
single code point that takes more tokens than that would be left whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from services.ingest.core.boundaries import Boundaries
from services.ingest.core.codecuts import CodeCuts
from services.ingest.core.cuts import Cuts, Sizes, StructureCuts, visible
from services.ingest.core.document import ExtractedDocument
from services.ingest.core.kept import KeptText
from services.ingest.core.places import Place, places_of
from services.ingest.core.settings import Strategy
from services.ingest.core.tokens import Tokenizer, TokenMap

MAX_CHARACTERS = 100_000
"""Longest chunk in code points, whatever its tokens, so that a chunk's document stays well below 1 MiB."""

MAX_PER_TOKEN = 32
"""Most code points of a chunk for each token that it may have; rows of dashes or spaces come near it."""

_TRIES = 8


@dataclass(frozen=True)
class Chunk:
    """A piece of a document.

    Args:
        index: 0, 1, 2, …
        text: what stands under the spans, joined by nothing; begins and ends with something visible, but for the
            indentation of code.
        tokens: tokens of text.
        spans: ranges of the extracted text, in order.
        context: headings above, outermost first; then the head of the table that the chunk begins within.
        places: where in the source it stood.
    """

    index: int
    text: str
    tokens: int
    spans: tuple[tuple[int, int], ...]
    context: tuple[str, ...]
    places: tuple[Place, ...]


class Cutter:
    """Cuts one document.

    Args:
        max_tokens: at least 32.
        overlap_tokens: at most max_tokens / 2.
        tokenizer: counts the tokens.
        strategy: where to cut first.
        heading_depth: markdown: deepest level of heading that begins a chunk.
    """

    def __init__(
        self,
        document: ExtractedDocument,
        max_tokens: int,
        overlap_tokens: int,
        tokenizer: Tokenizer,
        strategy: Strategy = "structure",
        heading_depth: int = 0,
    ) -> None:
        self._document = document
        self._max = max_tokens
        self._overlap = overlap_tokens
        self._kept = KeptText(document.text, document.removed)
        self._text = self._kept.text
        self._bounds = Boundaries(self._text, self._kept.blocks(document.blocks))
        tokens = self._tokens = TokenMap(self._text, self._bounds.blocks, tokenizer)
        sizes = Sizes(max_tokens, min(MAX_CHARACTERS, MAX_PER_TOKEN * max_tokens))
        self._cuts: Cuts
        if strategy == "code":
            self._cuts = CodeCuts(self._text, self._bounds, tokens, sizes)
        else:
            apart = document.headings_to(heading_depth) if strategy == "markdown" else frozenset()
            self._cuts = StructureCuts(self._text, self._bounds, tokens, sizes, apart)

    @property
    def characters(self) -> int:
        """Length of the text that is to be cut."""
        return len(self._text)

    def chunks(self) -> Iterator[tuple[Chunk, int]]:
        """Yield each chunk with the position in the kept text up to which all is done."""
        start = done = self._first(0)
        index = 0
        while done < len(self._text):
            start, end, tokens = self._next(start, done)
            yield self._chunk(index, start, end, tokens), end
            index += 1
            # Only what is new in a chunk is repeated in the next, so nothing stands in three.
            start, done = self._overlapped(done, end), self._first(end)
            if start == end:
                start = done

    def _first(self, position: int) -> int:
        """Return where the next chunk begins if nothing is repeated."""
        return max(self._cuts.first(visible(self._text, position)), position)

    def _next(self, start: int, done: int) -> tuple[int, int, int]:
        """Return start, end and tokens of the chunk that begins at start and goes on past done."""
        budget = self._max
        while budget > 0:
            end = self._cuts.end(start, done, budget)
            if end > done:
                end = self._trimmed(start, end)
                tokens = self._tokens.exact(start, end)
                if tokens <= self._max:
                    return start, end, tokens
                budget -= tokens - self._max
            if start < done and (end <= done or budget <= 0):
                start, budget = done, self._max  # what follows fits only without the overlap
        return self._least(done)

    def _least(self, start: int) -> tuple[int, int, int]:
        """Return a chunk found by halving, for texts whose tokens in pieces and as a whole disagree by far."""
        size = min(self._max, len(self._text) - start)
        while True:
            end = self._trimmed(start, start + size)
            tokens = self._tokens.exact(start, end)
            if tokens <= self._max or size == 1:
                return start, end, tokens
            size //= 2

    def _trimmed(self, start: int, end: int) -> int:
        while end > start + 1 and self._text[end - 1].isspace():
            end -= 1
        return end

    def _overlapped(self, done: int, end: int) -> int:
        """Return a place from done on where the next chunk begins, to repeat the end of this one; end for none."""
        if not self._overlap or self._cuts.wall(visible(self._text, end)):
            return end
        begin = max(self._tokens.before(end, self._overlap), done)
        for _ in range(_TRIES):
            found = self._cuts.begin(begin, end)
            if found < 0:
                return end
            if self._tokens.exact(found, end) <= self._overlap:
                return found
            begin = found + 1
        return end

    def _chunk(self, index: int, start: int, end: int, tokens: int) -> Chunk:
        spans = tuple(self._kept.spans(start, end))
        return Chunk(
            index=index,
            text=self._text[start:end],
            tokens=tokens,
            spans=spans,
            context=self._context(start),
            places=tuple(places_of(self._document, spans)),
        )

    def _context(self, start: int) -> tuple[str, ...]:
        block = self._bounds.at(start)
        if block is None:
            return ()
        above = self._cuts.above(start)
        path = self._document.path(block.heading)
        return (*path, above) if above else path
