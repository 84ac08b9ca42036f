"""Whatever the document and the settings: the chunks' spans and the gaps are the text, and each gap has a reason."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.ingest.core.chunks import Chunk, Cutter
from services.ingest.core.coverage import Coverage, Gap, Uncovered
from services.ingest.core.document import ExtractedDocument, Kind, Removed, from_json, to_json
from services.ingest.core.plain import markdown_document, plain_document
from services.ingest.core.settings import ChunkRules, Strategy, chunk_rules
from services.ingest.core.tokens import Tokenizer
from services.ingest.core.writer import DocumentWriter, Segment
from services.ingest.sandbox.cut import with_gaps

CODE = (
    "import os\n\n\n# Opens it.\n@cached\ndef first(a, b):\n    if a:\n        return b\n\n    return a\n\n\n"
    "class Pump(Machine):\n    def start(self):\n        self.on = True\n\n    def stop(self):\n"
    "        self.on = False\n"
)
WORDS = st.lists(
    st.sampled_from(["valve", "Öl", "泵", "🙂", "e\u0301", "a.b", "x" * 90, "Dr.", "end.", "\u200d", "3.5"])
)
LINES = st.one_of(WORDS.map(" ".join), st.text(max_size=80), st.sampled_from(["", "  ", "\t", "- item", "> quoted"]))
PARTS = st.one_of(
    st.lists(LINES, max_size=6).map("\n".join),
    st.integers(1, 6).map(lambda level: "#" * level + " Heading"),
    st.sampled_from(["Title\n=====", "Under\n-----", CODE, f"```python\n{CODE}```", "\n\n\n", "```\nnever closed"]),
    st.integers(1, 40).map(lambda n: "| a | b |\n|---|---|\n" + "| cell | other cell |\n" * n),
    st.integers(1, 60).map(lambda n: " ".join(f"Word{i} is here." for i in range(n))),
    st.integers(1, 30).map(lambda n: "".join(f"    line_{i}(a, b)\n" for i in range(n))),
)
KINDS: list[Kind] = ["paragraph", "item", "table", "code", "heading"]
SEGMENTS = st.lists(
    st.builds(
        Segment,
        st.text("ab .\n泵", min_size=1, max_size=60),
        page=st.just(1),
        removed=st.sampled_from(["", "", "PAGE_HEADER", "PAGE_NUMBER"]),
    ),
    min_size=1,
    max_size=4,
)


@st.composite
def written(draw: st.DrawFn) -> ExtractedDocument:
    """Return a document as the readers of pages write it."""
    writer = DocumentWriter()
    for segments in draw(st.lists(SEGMENTS, max_size=12)):
        kind: Kind = draw(st.sampled_from(KINDS))
        if kind == "heading":
            writer.heading(draw(st.integers(1, 6)), segments)
        else:
            writer.block(kind, segments)
    return writer.document()


@st.composite
def typed(draw: st.DrawFn) -> ExtractedDocument:
    """Return a text as a document, with parts of it marked as removed."""
    text = "\n\n".join(draw(st.lists(PARTS, max_size=10)))
    document = draw(st.sampled_from([markdown_document, plain_document]))(text)
    removed: list[Removed] = []
    done = 0
    for skip, take in draw(st.lists(st.tuples(st.integers(0, 200), st.integers(1, 40)), max_size=4)):
        start, end = done + skip, min(done + skip + take, len(document.text))
        if start < end:
            removed.append(Removed(start, end, "PAGE_FOOTER"))
        done = end + 1
    return replace(document, removed=removed)


@st.composite
def rules(draw: st.DrawFn) -> ChunkRules:
    """Return any settings that are allowed and small enough to cut short texts."""
    strategy: Strategy = draw(st.sampled_from(["structure", "markdown", "code"]))
    most = draw(st.integers(32, 160))
    depth = draw(st.integers(0, 6)) if strategy == "markdown" else 0
    return chunk_rules("", most, draw(st.integers(0, most // 2)), strategy, depth)


def words(text: str) -> Sequence[int]:
    """Count every word and every mark as a token."""
    return [match.start() for match in re.finditer(r"\w+|[^\w\s]", text)]


def prefixed(text: str) -> Sequence[int]:
    """Count one token more at the beginning of every text."""
    return [0, *words(text)]


def letters(text: str) -> Sequence[int]:
    """Count every code point but blanks."""
    return [place for place, char in enumerate(text) if char != " "]


@dataclass
class Cut:
    """What came of cutting a document."""

    chunks: list[Chunk]
    gaps: list[Gap]
    coverage: Coverage


def cut(document: ExtractedDocument, how: ChunkRules, encode: Callable[[str], Sequence[int]] = words) -> Cut:
    """Cut a document as the sandbox does."""
    tokenizer = Tokenizer(encode, lambda text: len(encode(text)))
    cutter = Cutter(document, how.max_tokens, how.overlap_tokens, tokenizer, how.strategy, how.heading_depth)
    found = Cut([], [], Coverage(document))
    for chunk, gaps in with_gaps((chunk for chunk, _ in cutter.chunks()), found.coverage):
        found.gaps.extend(gaps)
        found.chunks.extend([chunk] if chunk else [])
    return found


@settings(deadline=None, max_examples=250)
@given(st.one_of(typed(), written()), rules(), st.sampled_from([words, prefixed, letters]))
def test_spans_and_gaps_are_the_whole_text(
    document: ExtractedDocument, how: ChunkRules, encode: Callable[[str], Sequence[int]]
) -> None:
    """Each code point is in a chunk or in exactly one gap; gaps are blank or were removed; the balance holds."""
    found = cut(document, how, encode)

    covered = [0] * len(document.text)
    for chunk in found.chunks:
        assert chunk.text == "".join(document.text[a:b] for a, b in chunk.spans)
        assert chunk.tokens == len(encode(chunk.text)) <= how.max_tokens
        assert chunk.text.strip()
        for a, b in chunk.spans:
            covered[a:b] = [1] * (b - a)
    in_chunks = sum(covered)
    for gap in found.gaps:
        assert not any(covered[gap.start : gap.end])
        assert gap.start < gap.end
        covered[gap.start : gap.end] = [1] * (gap.end - gap.start)
        assert gap.reason == "WHITESPACE" or Removed(gap.start, gap.end, gap.reason) in document.removed
        assert gap.reason != "WHITESPACE" or document.text[gap.start : gap.end].isspace()
    assert all(covered)
    assert [gap.start for gap in found.gaps] == sorted(gap.start for gap in found.gaps)
    assert found.coverage.count == len(found.gaps)
    assert found.coverage.covered == in_chunks
    assert in_chunks + sum(found.coverage.dropped.values()) == len(document.text)
    assert sum(1 for gap in found.gaps if gap.reason != "WHITESPACE") == len(document.removed)


@settings(deadline=None, max_examples=100)
@given(st.one_of(typed(), written()), rules())
def test_places_say_where_a_chunks_text_stood(document: ExtractedDocument, how: ChunkRules) -> None:
    """The text under the places of a chunk is the chunk's, but for white space between blocks."""
    stored = from_json(json.loads("".join(to_json(document))))
    for chunk in cut(stored, how).chunks:
        under = "".join(document.text[place.start : place.end] for place in chunk.places)

        assert "".join(under.split()) == "".join(chunk.text.split())


def test_a_chunk_left_out_is_found_out() -> None:
    """The proof is made while cutting, not only in tests: a hole ends the work."""
    document = plain_document("First part.\n\nSecond part.\n\nThird part.")
    coverage = Coverage(document)
    coverage.take([(0, 11)])

    with pytest.raises(Uncovered, match="from 11 to 27"):
        coverage.take([(27, 38)])


def test_a_removed_part_in_a_chunk_is_found_out() -> None:
    """A page number must not become content."""
    document = replace(plain_document("First 12 part."), removed=[Removed(6, 8, "PAGE_NUMBER")])

    with pytest.raises(Uncovered, match="removed"):
        Coverage(document).take([(0, 14)])


def pieces(text: str, how: ChunkRules) -> list[str]:
    """Cut Markdown and return the chunks' texts."""
    return [chunk.text for chunk in cut(markdown_document(text), how).chunks]


def test_markdown_begins_a_chunk_at_each_heading_down_to_a_depth() -> None:
    """Sections that would fit together stay apart; headings in a row stay together; deeper ones do not matter."""
    text = "Before.\n\n# One\n\n## Two\n\nText.\n\n### Three\n\nMore.\n\nUnder\n-----\n\nEnd."

    assert pieces(text, chunk_rules("", 64, 0)) == [text]
    assert pieces(text, chunk_rules("", 64, 0, "markdown", 1)) == ["Before.", text[9:]]
    assert pieces(text, chunk_rules("", 64, 16, "markdown")) == [
        "Before.",
        "# One\n\n## Two\n\nText.\n\n### Three\n\nMore.",
        "Under\n-----\n\nEnd.",
    ]


def test_markdown_keeps_the_heading_path() -> None:
    """A chunk in the middle of a section still knows where it is."""
    text = "# One\n\n## Two\n\n" + " ".join(f"Word{i} is here." for i in range(30))

    found = cut(markdown_document(text), chunk_rules("", 40, 0, "markdown", 3)).chunks

    assert [chunk.context for chunk in found[1:]] == [("One", "Two")] * (len(found) - 1)


def test_code_is_cut_before_definitions_with_their_comments_and_keeps_indentation() -> None:
    """Chunks are whole lines; one that begins within a definition says which."""
    body = "".join(f"    step_{i}(now)\n" for i in range(6))
    text = "".join(f"# Does {n}.\n@cached\ndef part_{n}(a):\n{body}\n\n" for n in range(4))

    found = cut(plain_document(text), chunk_rules("", 48, 0, "code")).chunks
    small = cut(plain_document(text), chunk_rules("", 32, 0, "code")).chunks

    assert [chunk.text.splitlines()[0] for chunk in found] == [f"# Does {n}." for n in range(4)]
    assert all(line in text.splitlines() for chunk in small for line in chunk.text.splitlines())
    assert small[1].text.startswith("    step_")
    assert small[1].context == ("def part_0(a):",)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.one_of(st.just(CODE), PARTS), max_size=6), st.integers(32, 100), st.integers(0, 16))
def test_code_never_divides_a_line_that_fits(parts: list[str], most: int, overlap: int) -> None:
    """Each chunk begins and ends where a line does, unless a line alone is too long."""
    document = plain_document("\n".join(parts))
    lines = {line.strip() for line in document.text.split("\n")}
    longest = max((len(words(line)) for line in lines), default=0)

    for chunk in cut(document, chunk_rules("", most, overlap, "code")).chunks:
        whole = all(line.strip() in lines for line in chunk.text.split("\n"))

        assert whole or longest > most
