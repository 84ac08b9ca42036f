"""Documents of every kind over real gRPC: what becomes of them, and that each chunk leads back to its place."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from finetuneflow.common.v1 import work_pb2
from finetuneflow.ingest.v1 import chunk_pb2, file_pb2
from services.common.objects.folder import FolderObjects
from tests.fakes.documents import PROSE, docx_file
from tests.fakes.ingesting import balanced, chunked, chunks_of, ingest, read, reason
from tests.fakes.office import epub_file, odt_file, pptx_file, xlsx_file, zipped
from tests.fakes.running import Served
from tests.fakes.scans import WORDS, scanned_pdf, stand_in

FAILED, SUCCEEDED = work_pb2.WORK_STATE_FAILED, work_pb2.WORK_STATE_SUCCEEDED
PAGE = """<!doctype html><html><head><title>Guide</title><style>p { color: red }</style></head><body>
<header><a href="/">Home</a></header><nav><ul><li>Shop</li></ul></nav><script>track()</script>
<main><h1>The <em>Kestrel</em> pump</h1><div class="toc">Care</div>
<p>It moves <b>coolant</b>.<br>It is blue &amp; loud.</p>
<ul><li>first<ul><li>nested</li></ul></li><li>second</li></ul><ol start="3"><li>third</li></ol>
<table><tr><th>Part</th><th>Price</th></tr><tr><td>Lid | top</td><td>12</td></tr></table>
<pre>def f():
    return 1</pre><h2>Care<a class="headerlink" href="#care">¶</a></h2><p>Oil it.</p>
<p style="display: none">secret</p></main><footer>Printed in Tarnfield</footer></body></html>"""
PAGE_TEXT = """# The Kestrel pump

It moves coolant.
It is blue & loud.

- first
  - nested
- second
3. third

| Part | Price |
| --- | --- |
| Lid \\| top | 12 |

```
def f():
    return 1
```

## Care

Oil it."""


@pytest_asyncio.fixture
async def server(tmp_path: Path) -> AsyncIterator[tuple[Any, Served]]:
    """The service's stub and server, with a project."""
    async with ingest(tmp_path) as found:
        yield found


async def text_of(served: Served, file: file_pb2.File) -> str:
    """Return a file's extracted text."""
    assert file.work.state == SUCCEEDED, file.work.error
    objects = FolderObjects(Path(served.config.objects.removeprefix("file://")))
    return str(json.loads(await objects.read(file.text.artifact.key))["text"])


async def pieces(stub: Any, file: file_pb2.File, **settings: Any) -> list[chunk_pb2.Chunk]:
    """Cut a file into small chunks and return them."""
    cut = (await chunked(stub, file.name, **(settings or {"max_tokens": 32})))[0]
    assert balanced(cut.chunking.count)
    return await chunks_of(stub, file.name)


def drops(file: file_pb2.File) -> dict[str, int]:
    """Return what was left out of a document, by reason; in = out + dropped must hold."""
    assert balanced(file.text.count)
    return {drop.reason: drop.count for drop in file.text.count.dropped}


async def test_html_becomes_markdown_and_what_is_no_content_is_counted(server: tuple[Any, Served]) -> None:
    """Headings, lists, tables and code stay; navigation, scripts, styles, page header and footer go, with reasons."""
    stub, served = server
    file = await read(stub, PAGE.encode(), "guide.html")

    assert await text_of(served, file) == PAGE_TEXT
    assert drops(file) == {
        "SCRIPT": 1, "NAVIGATION": 2, "TABLE_OF_CONTENTS": 1, "PAGE_HEADER": 1, "PAGE_FOOTER": 1, "HIDDEN": 1
    }  # fmt: skip
    last = (await pieces(stub, file))[-1]
    assert list(last.places[-1].headings) == ["The Kestrel pump", "Care"]


XHTML = """<?xml version="1.0"?>
<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.1//EN" "http://www.w3.org/TR/xhtml11/DTD/xhtml11.dtd">
<html xmlns="http://www.w3.org/1999/xhtml"><head><title>Menu</title></head><body>
<p>Le caf&eacute; co&ucirc;te 3&#160;euros &mdash; ici.</p>
</body></html>"""
LOOSE = """<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml"><body>
<ul>First <li>the valve</li> then <li>the lid</li></ul><pre>def f():<br/>    return 1</pre></body></html>"""


async def test_nothing_of_xhtml_is_lost(server: tuple[Any, Served]) -> None:
    """Neither characters by their names, which need HTML's own parser, nor texts between entries, nor lines of code."""
    stub, served = server
    menu = await text_of(served, await read(stub, XHTML.encode(), "menu.xhtml"))
    loose = await text_of(served, await read(stub, LOOSE.encode(), "loose.xhtml"))

    assert "Le café coûte 3 euros — ici." in menu.replace("\xa0", " ")
    assert [line for line in loose.split("\n") if line] == [
        "First", "- the valve", "then", "- the lid", "```", "def f():", "    return 1", "```"
    ]  # fmt: skip


async def test_html_in_the_encoding_that_it_declares(server: tuple[Any, Served]) -> None:
    """Western European pages are read as browsers read them; bytes that are in no known encoding are refused."""
    stub, served = server
    page = '<html><head><meta charset="iso-8859-1"></head><body><p>Grüße für 5 €</p></body></html>'
    file = await read(stub, page.encode("cp1252"), "gruss.html")
    wrong = await read(stub, page.replace("iso-8859-1", "klingon").encode("cp1252"), "wrong.html")

    assert await text_of(served, file) == "Grüße für 5 €"
    assert reason(wrong) == "NOT_UTF8"


async def test_csv_becomes_a_table_whose_chunks_name_their_cells(server: tuple[Any, Served]) -> None:
    """The delimiter is found, empty rows are counted, and each chunk says which rows it holds, under the head row."""
    stub, served = server
    rows = "".join(f'Valve {n};{n},5;"left; bank {n}"\n' for n in range(1, 41))
    file = await read(stub, f"\ufeffname;price;place\n\n{rows}".encode(), "valves.csv")
    found = await pieces(stub, file, max_tokens=64)

    assert (await text_of(served, file)).startswith("| name | price | place |\n| --- | --- | --- |\n| Valve 1 | 1,5 |")
    assert drops(file) == {"EMPTY_ROW": 1}
    assert found[0].places[0].cells.startswith("A1:C")
    assert found[-1].places[0].cells.endswith(":C42")
    for chunk in found[1:]:
        first, last = (int(cell[1:]) for cell in chunk.places[0].cells.split(":"))
        lines = chunk.text.splitlines()
        assert lines[0].startswith(f"| Valve {first - 2} |")
        assert lines[-1].startswith(f"| Valve {last - 2} |")
        assert chunk.context[-1].startswith("| name | price | place |")


async def test_json_becomes_sections_and_its_chunks_name_their_values(server: tuple[Any, Served]) -> None:
    """Members that hold others are sections; numbers stay as they are written; places are JSON Pointers."""
    stub, served = server
    value = '{"title": "Parts", "a/b": [{"name": "Lid", "price": 1.10}, {"name": "Foot", "tags": ["x", "y"]}]}'
    file = await read(stub, value.encode(), "parts.json")

    assert await text_of(served, file) == (
        "title: Parts\n\n# a/b\n\nname: Lid\nprice: 1.10\n\nname: Foot\ntags:\n  - x\n  - y"
    )
    places = [place for chunk in await pieces(stub, file, max_tokens=512) for place in chunk.places]
    assert [place.pointer for place in places] == ["", "/a~1b", "/a~1b/0", "/a~1b/1"]


async def test_jsonl_becomes_a_block_for_each_line_and_bad_lines_are_counted(server: tuple[Any, Served]) -> None:
    """A line that is no JSON costs that line alone."""
    stub, served = server
    data = b'{"q": "Why?", "a": "Because."}\n\nnot json\n{"q": "Who?", "a": null}\n{}\n'
    file = await read(stub, data, "pairs.jsonl")

    assert await text_of(served, file) == "q: Why?\na: Because.\n\nq: Who?\na: null"
    assert drops(file) == {"INVALID_RECORD": 1, "EMPTY_RECORD": 1}
    places = [place for chunk in await pieces(stub, file) for place in chunk.places]
    assert [place.line for place in places] == [1, 4]


LOCKED = (
    '<m:manifest xmlns:m="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0"><m:file-entry><m:encryption-data/>'
    "</m:file-entry></m:manifest>"
)
OLE = bytes.fromhex("d0cf11e0a1b11ae1")
BILLION = '<!DOCTYPE d [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;&a;">]>'
FILE = '<!DOCTYPE d [<!ENTITY a SYSTEM "file:///etc/passwd">]>'


@pytest.mark.parametrize(
    ("name", "data", "why"),
    [
        ("a.json", b'{"a": 1,}', "CORRUPT_DOCUMENT"),
        ("deep.json", b"[" * 100_000, "CORRUPT_DOCUMENT"),
        ("empty.json", b"[]", "NO_TEXT"),
        ("all-bad.jsonl", b"nothing\nhere\n", "CORRUPT_DOCUMENT"),
        ("latin.csv", "Grüße,1\n".encode("latin-1"), "NOT_UTF8"),
        ("blank.csv", b",,\n,,\n", "NO_TEXT"),
        ("text.html", b"Just some words.", "CORRUPT_DOCUMENT"),
        ("deep.html", b"<html><body>" + b"<div>" * 20_000 + b"x", "EXTRACTION_LIMIT"),
        ("blank.html", b"<html><body><script>x()</script></body></html>", "NO_TEXT"),
        ("slides.docx", pptx_file(), "CORRUPT_DOCUMENT"),
        ("words.xlsx", docx_file("Hello."), "CORRUPT_DOCUMENT"),
        ("book.odt", epub_file("<p>x</p>"), "CORRUPT_DOCUMENT"),
        ("cut.pptx", pptx_file()[:-900], "CORRUPT_DOCUMENT"),
        ("empty.xlsx", xlsx_file({"A": []}), "NO_TEXT"),
        ("any.epub", zipped({"a.txt": "x"}), "CORRUPT_DOCUMENT"),
        ("bomb.epub", zipped({"META-INF/container.xml": b" " * 5_000_000}), "EXTRACTION_LIMIT"),
        ("locked.odt", odt_file("", **{"META-INF/manifest.xml": LOCKED}), "ENCRYPTED_DOCUMENT"),
        ("billion.odt", odt_file("<text:p>&b;</text:p>", BILLION), "CORRUPT_DOCUMENT"),
        ("passwd.odt", odt_file("<text:p>&a;</text:p>", FILE), "CORRUPT_DOCUMENT"),
        (
            "locked.pptx",
            OLE + "EncryptedPackage".encode("utf-16-le"),
            "ENCRYPTED_DOCUMENT",
        ),
        ("old.xlsx", OLE + bytes(600), "CORRUPT_DOCUMENT"),
        ("cut.rtf", rb"{\rtf1 The pump", "CORRUPT_DOCUMENT"),
        ("picture.csv", b"\x89PNG\r\n\x1a\n" + bytes(40), "CORRUPT_DOCUMENT"),
    ],
)
async def test_a_bad_document_gets_a_reason(server: tuple[Any, Served], name: str, data: bytes, why: str) -> None:
    """Broken, empty and wrongly named documents fail with a typed error that says what to do."""
    file = await read(server[0], data, name)

    assert (file.work.state, reason(file)) == (FAILED, why)


async def test_a_scan_is_read_where_tesseract_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The record names the program and the pages; with FTF_OCR off a scan has no text, and says which pages."""
    monkeypatch.setenv("PATH", f"{stand_in(tmp_path / 'bin').parent}:{os.environ['PATH']}")
    data = scanned_pdf(WORDS, "", WORDS)
    async with ingest(tmp_path / "on") as (stub, _):
        file = await read(stub, data, "scan.pdf")
        places = [place.page for chunk in await pieces(stub, file) for place in chunk.places]
    monkeypatch.setenv("FTF_OCR", "off")
    async with ingest(tmp_path / "off") as (stub, _):
        refused = await read(stub, data, "scan.pdf")

    assert file.text.extractor.endswith(" + tesseract 9.8.7")
    assert (list(file.text.pages_by_ocr), list(file.text.pages_without_text)) == ([1, 3], [2])
    assert drops(file) == {"IMAGE_ONLY": 1}
    assert places == [1, 3]
    assert reason(refused) == "NO_TEXT"
    assert "(1-3)" in refused.work.error.message


async def test_the_language_of_each_file_is_told(server: tuple[Any, Served]) -> None:
    """By most of its text; what is too short has none."""
    stub, _ = server
    german = "Die Pumpe fördert Kühlmittel durch Laser und Öfen. Ihr Gehäuse ist aus blauem Guss. " * 3
    files = [await read(stub, text.encode(), f"{n}.txt") for n, text in enumerate((german, PROSE, "12"))]

    assert [file.language for file in files] == ["de", "en", "und"]
