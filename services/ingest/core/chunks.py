"""Cutting a text into chunks.

A cut falls at the end of a section or paragraph, else of a sentence, a table's row or a line of code, else of a word,
else anywhere. Headings stay with what follows them. A table or a piece of code that fits into one chunk is not cut.
Between chunks only white space is left out. No chunk has more tokens than allowed, counted over its own text; only a
single code point that takes more tokens than that would be left whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from services.ingest.core.boundaries import Boundaries, first_in, last_in
from services.ingest.core.document import Block, ExtractedDocument
from services.ingest.core.kept import KeptText
from services.ingest.core.places import Place, places_of
from services.ingest.core.tokens import Encode, TokenMap

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
        text: what stands under the spans, joined by nothing; begins and ends with something visible.
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
        encode: the tokenizer.
    """

    def __init__(self, document: ExtractedDocument, max_tokens: int, overlap_tokens: int, encode: Encode) -> None:
        self._document = document
        self._max = max_tokens
        self._longest = min(MAX_CHARACTERS, MAX_PER_TOKEN * max_tokens)
        self._overlap = overlap_tokens
        self._encode = encode
        self._kept = KeptText(document.text, document.removed)
        self._text = self._kept.text
        self._bounds = Boundaries(self._text, self._kept.blocks(document.blocks))
        self._tokens = TokenMap(self._text, self._bounds.blocks, encode)

    @property
    def characters(self) -> int:
        """Length of the text that is to be cut."""
        return len(self._text)

    def chunks(self) -> Iterator[tuple[Chunk, int]]:
        """Yield each chunk with the position in the kept text up to which all is done."""
        start = done = self._visible(0)
        index = 0
        while done < len(self._text):
            start, end, tokens = self._next(start, done)
            yield self._chunk(index, start, end, tokens), end
            index += 1
            # Only what is new in a chunk is repeated in the next, so nothing stands in three.
            start, done = self._overlapped(done, end), self._visible(end)
            if start == end:
                start = done

    def _visible(self, position: int) -> int:
        """Return the first position from here on that is no white space."""
        while position < len(self._text) and self._text[position].isspace():
            position += 1
        return position

    def _next(self, start: int, done: int) -> tuple[int, int, int]:
        """Return start, end and tokens of the chunk that begins at start and goes on past done."""
        budget = self._max
        while budget > 0:
            end = self._cut(start, done, budget)
            if end > done:
                end = self._trimmed(start, end)
                tokens = len(self._encode(self._text[start:end]))
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
            tokens = len(self._encode(self._text[start:end]))
            if tokens <= self._max or size == 1:
                return start, end, tokens
            size //= 2

    def _trimmed(self, start: int, end: int) -> int:
        while end > start + 1 and self._text[end - 1].isspace():
            end -= 1
        return end

    def _cut(self, start: int, done: int, budget: int) -> int:
        """Return the best place after done; done itself if there is one only without the overlap."""
        limit = min(self._tokens.after(start, budget), start + self._longest)
        if limit >= len(self._text):
            return len(self._text)
        if limit <= done:
            return done if start < done else done + 1
        bounds = self._bounds
        split = bounds.split_by(limit)
        whole = split is not None and self._fits(split) and (split.start > done or start < done)
        inner = bounds.inner_ends(split) if split and not whole and split.kind != "heading" else []
        half, quarter = (max(done, self._tokens.after(start, budget // part)) for part in (2, 4))
        choices = (
            (bounds.sections, half),
            (bounds.paragraphs, quarter),
            (inner, quarter),
            (bounds.paragraphs, done),
            (inner, done),
        )
        for places, after in choices:
            found = last_in(places, after, limit)
            if found >= 0:
                return found
        return self._poor_cut(start, done, limit, None if whole else split)

    def _poor_cut(self, start: int, done: int, limit: int, split: Block | None) -> int:
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
        if block.kind not in ("table", "code") or block.end - block.start > self._longest:
            return False
        return self._tokens.count(block.start, block.end) <= self._max

    def _overlapped(self, done: int, end: int) -> int:
        """Return a place from done on where the next chunk begins, to repeat the end of this one; end for none."""
        following = self._bounds.at(self._visible(end))
        if not self._overlap or following is None or following.kind == "heading":
            return end
        begin = max(self._tokens.before(end, self._overlap), done)
        for _ in range(_TRIES):
            found = self._begin(begin, end)
            if found < 0:
                return end
            if len(self._encode(self._text[found:end])) <= self._overlap:
                return found
            begin = found + 1
        return end

    def _begin(self, begin: int, end: int) -> int:
        """Return the first good beginning in [begin, end): of a block, else of a sentence, else of a word; or -1."""
        starts = []
        for block in self._bounds.between(begin, end):
            if begin <= block.start < end:
                starts.append(block.start)
                break
            if block.kind in ("heading", "table", "code") and self._fits(block):
                continue
            inner = first_in(self._bounds.inner_ends(block), begin - 1, end - 1)
            starts.extend([self._visible(inner)] if inner >= 0 else [])
        good = [s for s in starts if begin <= s < end]
        if good:
            return min(good)
        split = self._bounds.split_by(begin)
        if split is not None and split.kind in ("heading", "table", "code"):
            return -1
        return self._bounds.word_start(begin, end)

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
        path = self._document.path(block.heading)
        if block.kind == "table" and start >= block.start + block.head:
            return (*path, self._text[block.start : block.start + block.head].partition("\n")[0])
        return path
