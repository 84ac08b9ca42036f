"""Tokens of a part of a text: counted from those of the whole, they are those that the part has by itself."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Iterable
from pathlib import Path

import pytest
import tiktoken

from services.common.ranks import RankFiles
from services.ingest.core.chunks import Cutter
from services.ingest.core.plain import markdown_document
from services.ingest.core.tokens import Tokenizer, TokenMap
from services.ingest.sandbox.tokenizer import load_tokenizer

PARTS = [
    *("a", "the", " the", "Öl", "泵有", "阀门，", "。", "🙂", "e\u0301", "'s", "'", "’t", "x" * 40, "ſ", "²", "Ⅷ", "ﬁ"),
    *(" ", "  ", "   \n", "\n", "\n\n", "\r\n", "\r", "\t", "\u00a0", "\u2003", "\u2028", "\x1c", "\u200d", "\u0085"),
    *("12", "3.5", "2026", ".", "...", "?!", "|", "---", "](", "<|endoftext|>", "```", "_", "#", "—", "مرحبا", "नमस्ते"),
]


@pytest.fixture(scope="module")
def cl100k(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    """The tokenizer that counts where no model is named."""
    folder = asyncio.run(RankFiles("", tmp_path_factory.mktemp("ranks")).folder())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TIKTOKEN_CACHE_DIR", str(folder))
        tiktoken.get_encoding("cl100k_base")
        return load_tokenizer("")


def written(chance: random.Random, parts: int) -> str:
    """Return a text of all kinds of characters, in any order."""
    return "".join(chance.choices(PARTS, k=parts))


@pytest.mark.parametrize("piece", [64, 300, 262_144])
def test_ranges_have_as_many_tokens_as_alone(cl100k: Tokenizer, piece: int) -> None:
    """Wherever they begin and end, in whatever pieces the whole was encoded."""
    chance = random.Random(piece)
    small = Tokenizer(cl100k.encode, cl100k.count, cl100k.joint, piece)
    wrong = []
    for _ in range(150):
        text = written(chance, 600)
        found = TokenMap(text, [], small)
        for _ in range(20):
            start, end = sorted(chance.sample(range(len(text) + 1), 2))
            # A chunk ends with something visible.
            end = start + len(text[start:end].rstrip())
            if found.exact(start, end) != cl100k.count(text[start:end]):
                wrong.append(text[start:end])

    assert wrong == []


def test_joints_divide_every_text(cl100k: Tokenizer) -> None:
    """Both sides of a joint have the tokens of the whole, whatever stands there."""
    chance = random.Random(7)
    encoding = tiktoken.get_encoding("cl100k_base")
    wrong, joints = [], 0
    for _ in range(400):
        text = written(chance, 30)
        whole = encoding.encode_ordinary(text)
        for joint in (place.start() for place in re.finditer(cl100k.joint, text)):
            joints += 1
            if encoding.encode_ordinary(text[:joint]) + encoding.encode_ordinary(text[joint:]) != whole:
                wrong.append((text, joint))

    assert joints > 1_000
    assert wrong == []


def differing(cl100k: Tokenizer, texts: Iterable[str]) -> list[str]:
    """Return the texts of which tiktoken says that tokens begin elsewhere."""
    encoding = tiktoken.get_encoding("cl100k_base")

    def right(text: str) -> bool:
        begun = encoding.decode_with_offsets(encoding.encode_ordinary(text))[1]
        return list(cl100k.encode(text)) == begun and cl100k.count(text) == len(begun)

    return [text for text in texts if not right(text)]


def test_tokens_are_those_of_tiktoken(cl100k: Tokenizer) -> None:
    """Of texts short and long, whatever stands beside what."""
    chance = random.Random(3)
    texts = [written(chance, parts) for parts in (3, 30, 300, 12_000) for _ in range(3_000 // parts + 1)]

    assert differing(cl100k, texts) == []


def test_every_character_counts_as_with_tiktoken(cl100k: Tokenizer) -> None:
    """Beside letters, digits, spaces, line ends and apostrophes; those of later versions of Unicode, too."""
    points = [*range(0xD800), *range(0xE000, 0x34000), *range(0xE0000, 0xE0200)]  # above, nothing is a letter
    blocks = ("".join(f"{c}'s {c}11 " for c in map(chr, points[n : n + 64])) for n in range(0, len(points), 64))
    encoding = tiktoken.get_encoding("cl100k_base")
    wrong = [text for text in blocks if cl100k.count(text) != len(encoding.encode_ordinary(text))]

    assert wrong == []


def test_what_is_remembered_changes_no_token(cl100k: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tokenizer forgets the words it has seen and goes on."""
    monkeypatch.setattr("services.ingest.sandbox.cl100k._MOST_REMEMBERED", 5_000)
    chance = random.Random(5)

    assert differing(cl100k, (written(chance, 900) for _ in range(2))) == []


def test_hardly_anything_is_encoded_twice(cl100k: Tokenizer) -> None:
    """Of a chunk only the ends are counted again: the cutting costs about one pass of the tokenizer."""
    texts: list[str] = []

    def counted(text: str) -> int:
        texts.append(text)
        return cl100k.count(text)

    document = markdown_document(Path("docs/quality.md").read_text(encoding="utf-8") * 4)
    tokenizer = Tokenizer(cl100k.encode, counted, cl100k.joint, cl100k.piece)
    chunks = [chunk for chunk, _ in Cutter(document, 384, 0, tokenizer).chunks()]

    assert len(chunks) > 10
    assert all(chunk.tokens == cl100k.count(chunk.text) for chunk in chunks)
    assert sum(map(len, texts)) < len(document.text) / 10
