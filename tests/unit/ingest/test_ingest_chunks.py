"""How texts are cut: whatever the document, nothing is lost, nothing is too long, and cuts fall where they should."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import decoders, models, pre_tokenizers, trainers

from services.ingest.core.chunks import Chunk, Cutter
from services.ingest.core.document import ExtractedDocument, Removed
from services.ingest.core.plain import markdown_document, plain_document
from services.ingest.core.tokens import Encode, Tokenizer

PROSE = (
    "The pump has two valves. Each valve is made of brass, and e.g. Dr. Oduya checks it! Why? Because it must not leak."
    "\n\n# Care\n\nOil the bearing every 3.5 months. Never use water.\n\n- first step\n- second step\n\n"
    "| part | number |\n|---|---|\n| valve | 12 |\n\n```\nstart()\nstop()\n```\n\n"
    "泵有两个阀门。每个阀门都是黄铜的。\n\n🙂 naïve café\n"
)


def words(text: str) -> Sequence[int]:
    """Count every word and every mark as a token, as a simple tokenizer would."""
    return [match.start() for match in re.finditer(r"\w+|[^\w\s]", text)]


def prefixed(text: str) -> Sequence[int]:
    """Count one token more at the beginning of every text, as tokenizers do that put a mark there."""
    return [0, *words(text)]


def trained() -> Encode:
    """Train a byte-level BPE tokenizer, as most models have, on a little text."""
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator([PROSE] * 3, trainer)
    return lambda text: [start for start, _ in tokenizer.encode(text, add_special_tokens=False).offsets]


BPE = trained()

PARTS = st.one_of(
    st.sampled_from(PROSE.split("\n\n")),
    st.text(max_size=300),
    st.text(alphabet="ab .\n", max_size=300),
    st.sampled_from(["# Heading", "## Sub", "\n\n\n", "x" * 400, "```\n" + "line();\n" * 30 + "```", " \t "]),
    st.integers(1, 60).map(lambda n: "| a | b |\n|---|---|\n" + "| cell | other cell |\n" * n),
    st.integers(1, 80).map(lambda n: " ".join(f"Word{i} is here." for i in range(n))),
)
DOCUMENTS = (
    st.lists(PARTS, max_size=12)
    .map("\n\n".join)
    .flatmap(lambda text: st.sampled_from([markdown_document, plain_document]).map(lambda read: read(text)))
)


def without(document: ExtractedDocument, shares: list[tuple[float, float]]) -> ExtractedDocument:
    """Mark some parts of a document as removed, in order and apart."""
    removed: list[Removed] = []
    done = 0
    for skip, take in shares:
        start = done + int(skip * 200)
        end = min(start + 1 + int(take * 40), len(document.text))
        if start < end:
            removed.append(Removed(start, end, "PAGE_HEADER"))
        done = end + 1
    return replace(document, removed=removed)


def cut(document: ExtractedDocument, most: int, overlap: int = 0, encode: Encode = words) -> list[Chunk]:
    """Cut a document and return the chunks."""
    return [
        chunk
        for chunk, _ in Cutter(document, most, overlap, Tokenizer(encode, lambda text: len(encode(text)))).chunks()
    ]


def texts(markdown: str, most: int, overlap: int = 0) -> list[str]:
    """Cut Markdown by words and return the chunks' texts."""
    return [chunk.text for chunk in cut(markdown_document(markdown), most, overlap)]


@settings(deadline=None, max_examples=150)
@given(
    DOCUMENTS,
    st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), max_size=4),
    st.integers(32, 120),
    st.floats(0, 0.5),
    st.sampled_from([words, prefixed, BPE]),
)
def test_any_document_is_covered_by_chunks_within_their_limits(
    document: ExtractedDocument, shares: list[tuple[float, float]], most: int, share: float, encode: Encode
) -> None:
    """Every code point is in a chunk, removed, or white space between chunks; text, tokens and overlap are exact."""
    document = without(document, shares)
    overlap = int(most * share)

    chunks = cut(document, most, overlap, encode)

    covered = [0] * len(document.text)
    for place, chunk in enumerate(chunks):
        assert chunk.index == place
        assert chunk.text == "".join(document.text[a:b] for a, b in chunk.spans)
        assert chunk.text == chunk.text.strip() != ""
        assert chunk.tokens == len(encode(chunk.text)) <= most
        assert [a for a, _ in chunk.spans] == sorted(a for a, _ in chunk.spans)
        for a, b in chunk.spans:
            covered[a:b] = [n + 1 for n in covered[a:b]]
    for part in document.removed:
        assert not any(covered[part.start : part.end])
        covered[part.start : part.end] = [1] * (part.end - part.start)
    assert all(n or c.isspace() for n, c in zip(covered, document.text, strict=True))
    assert max(covered, default=0) <= 2
    for before, after in pairwise(chunks):
        assert before.spans[-1][1] < after.spans[-1][1]
        repeated = shared(document, before, after)
        assert not repeated or len(encode(repeated)) <= overlap


def shared(document: ExtractedDocument, before: Chunk, after: Chunk) -> str:
    """Return the text that two neighbours both have."""
    twice = {i for a, b in before.spans for i in range(a, b)} & {i for a, b in after.spans for i in range(a, b)}
    return "".join(document.text[i] for i in sorted(twice))


@settings(deadline=None, max_examples=60)
@given(DOCUMENTS, st.integers(32, 120))
def test_places_name_each_part_of_a_chunk(document: ExtractedDocument, most: int) -> None:
    """The places of a chunk lie under its spans, in order, and leave out white space alone."""
    for chunk in cut(document, most):
        under = {i for a, b in chunk.spans for i in range(a, b)}
        named = [i for place in chunk.places for i in range(place.start, place.end)]

        assert named == sorted(set(named))
        assert set(named) <= under
        assert all(document.text[i].isspace() for i in under - set(named))


def sentences(count: int, word: str = "Word") -> str:
    """Return so many sentences of four tokens each."""
    return " ".join(f"{word}{i} is here." for i in range(count))


def test_a_cut_falls_at_a_paragraphs_end_if_there_is_one() -> None:
    """Paragraphs that would not fit whole begin the next chunk."""
    assert texts(f"{sentences(6, 'a')}\n\n{sentences(6, 'b')}", 40) == [sentences(6, "a"), sentences(6, "b")]


def test_a_long_paragraph_is_cut_after_a_sentence() -> None:
    """Full stops of abbreviations, initials and numbers end no sentence."""
    text = "We met Dr. Varga and J. Brenneke of No. 5 at 3.5 p.m. on Monday. " * 4

    chunks = texts(text, 40)

    assert len(chunks) == 4
    assert all(chunk.endswith("on Monday.") for chunk in chunks)


def test_chinese_sentences_end_without_white_space() -> None:
    """A text without blanks is still cut after sentences."""
    text = "阀门由黄铜制成。" * 30
    chunks = [c.text for c in cut(plain_document(text), 64, encode=lambda text: range(len(text)))]

    assert all(chunk.endswith("。") for chunk in chunks)


def test_text_without_sentences_is_cut_between_words_and_then_anywhere() -> None:
    """A word is broken only if it is longer than a chunk."""
    assert all(set(chunk.split()) == {"word"} for chunk in texts("word " * 200, 50))
    assert [len(c.text) for c in cut(plain_document("x" * 100), 40, encode=lambda text: range(len(text)))] == [
        40,
        40,
        20,
    ]


def test_a_heading_stays_with_the_text_that_follows() -> None:
    """A heading never ends a chunk, however many follow each other."""
    chunks = texts(f"{sentences(7)}\n\n# One\n\n## Two\n\n{sentences(20, 'b')}", 36)

    assert chunks[0] == sentences(7)
    assert chunks[1].startswith("# One\n\n## Two\n\nb0 is here.")


def test_context_names_the_headings_above_and_the_head_of_a_table_that_was_cut() -> None:
    """What a chunk says of itself: its path without its own heading, and the head row that its rows lack."""
    rows = "".join(f"| valve {i} | {i} |\n" for i in range(30))
    document = markdown_document(f"# Pump\n\n## Parts\n\n{sentences(8)}\n\n| part | number |\n|---|---|\n{rows}")

    chunks = cut(document, 64)

    assert chunks[0].context == ()
    assert chunks[1].context == ("Pump", "Parts")
    assert chunks[-1].context == ("Pump", "Parts", "| part | number |")
    assert all(line.count("|") == 3 for line in chunks[-1].text.splitlines())


@pytest.mark.parametrize("block", ["```\n" + "call(x);\n" * 6 + "```", "| a | b |\n|---|---|\n" + "| c | d |\n" * 4])
def test_a_table_or_code_that_fits_is_not_cut(block: str) -> None:
    """It begins a new chunk instead, even if the one before is then short."""
    chunks = texts(f"Short.\n\n# Data\n\n{sentences(3)}\n\n{block}\n\nEnd.", 40)

    assert any(block.strip() in chunk for chunk in chunks)


def test_code_that_does_not_fit_is_cut_between_lines() -> None:
    """A line of code stays whole."""
    chunks = texts("```\n" + "call_of_something(first, second);\n" * 20 + "```", 32)

    assert len(chunks) > 3
    assert all(line in ("```", "call_of_something(first, second);") for chunk in chunks for line in chunk.split("\n"))


def test_overlap_repeats_whole_sentences_and_never_crosses_a_heading() -> None:
    """The next chunk begins with the last sentences of the one before; after a section's end with nothing."""
    chunks = texts(sentences(40), 40, overlap=12)
    apart = texts(f"{sentences(9)}\n\n# Next\n\n{sentences(5, 'b')}", 40, overlap=12)

    assert chunks[1].startswith(chunks[0].split(". ")[-3] + ". ")
    assert all(b.split(". ")[0] in a for a, b in pairwise(chunks))
    assert apart[1].startswith("# Next")


def test_removed_parts_are_in_no_chunk_and_a_sentence_goes_on_over_them() -> None:
    """A page's foot within a sentence leaves two spans, which read as one sentence."""
    text = "The pump was made \n\nPage 3\n\nin Ostrevik."
    start, end = text.index("\n\nPage"), text.index("in Ostrevik")
    document = replace(plain_document(text), removed=[Removed(start, end, "PAGE_NUMBER")])

    chunks = cut(document, 64)

    assert [c.text for c in chunks] == ["The pump was made in Ostrevik."]
    assert chunks[0].spans == ((0, start), (end, len(text)))


def test_an_empty_document_has_no_chunks() -> None:
    """White space alone is no content."""
    assert cut(plain_document(" \n\n\t\n"), 64) == []


def blocks(count: int) -> Iterator[str]:
    """Yield paragraphs of mixed kinds."""
    for i in range(count):
        yield f"## Part {i}" if i % 7 == 0 else sentences(10 + i % 5)


def test_cutting_takes_linear_time() -> None:
    """Eight times the text takes about eight times as long, not sixty-four."""

    def seconds(count: int) -> float:
        document = markdown_document("\n\n".join(blocks(count)))
        begun = time.process_time()
        cut(document, 384, 64)
        return time.process_time() - begun

    small, large = (min(seconds(count) for _ in range(4)) for count in (300, 2400))

    assert large < small * 24
