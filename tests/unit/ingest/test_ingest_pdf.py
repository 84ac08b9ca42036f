"""PDF as text: order, paragraphs, headings, lists, tables, code, running heads; pages; what cannot be read."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from services.common.errors import InvalidArgument
from services.ingest.core.document import ExtractedDocument
from services.ingest.core.extraction import Extraction, ranges
from services.ingest.core.places import places_of
from services.ingest.sandbox.pdf import ends_early, read_pdf
from tests.fakes.documents import PROSE, columns_pdf, lines_pdf, pdf, picture_pdf, table_pdf


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """Where the document is put."""
    return tmp_path / "document.pdf"


def extracted(target: Path, data: bytes, reader: str = "") -> Extraction:
    """Return what is read of a document."""
    target.write_bytes(data)
    return read_pdf(target, reader, lambda *_: None)


def text_of(target: Path, data: bytes) -> str:
    """Return the text of a document."""
    return extracted(target, data).document.text


def kept(document: ExtractedDocument) -> str:
    """Return the text without what is no content."""
    text = document.text
    for part in reversed(document.removed):
        text = text[: part.start] + text[part.end :]
    return text


def refused(target: Path, data: bytes) -> InvalidArgument:
    """Return the error of a document that cannot be read."""
    with pytest.raises(InvalidArgument) as caught:
        extracted(target, data)
    return caught.value


LEFT = [
    "The left column holds the first half of",
    "the story, and it is told in long lines",
    "that fill the column from its one edge",
    "to the other, as newspapers do. It ends",
    "in the middle of a sentence that then",
]
RIGHT = [
    "goes on at the top of the right one. The",
    "second half of the story stands here, in",
    "lines of the same length, so that the",
    "reader goes down the left column first.",
]


@pytest.mark.parametrize("by_rows", [False, True])
def test_columns_are_read_one_after_the_other(target: Path, by_rows: bool) -> None:
    """In whatever order the file holds them; a sentence goes on from one column to the next; the title comes first."""
    text = text_of(target, columns_pdf("A title over both columns", LEFT, RIGHT, by_rows))

    assert text == "# A title over both columns\n\n" + " ".join([*LEFT, *RIGHT])


def test_lines_become_paragraphs_and_larger_lines_headings(target: Path) -> None:
    """A heading's level follows its size; paragraphs lose their line ends."""
    source = f"# Pump\n\n{PROSE * 2}\n\n## Care\n\nOil the bearing.\n\n{PROSE}"

    document = extracted(target, pdf(source)).document

    assert document.text == re.sub(" +\n", "\n", source).strip()
    assert [(h.level, h.title, h.parent) for h in document.headings] == [(1, "Pump", -1), (2, "Care", 0)]
    assert [block.kind for block in document.blocks] == ["heading", "paragraph", "heading", "paragraph", "paragraph"]


def test_each_part_knows_its_page(target: Path) -> None:
    """The pages are the places; page numbers are those of the file, from 1."""
    document = extracted(target, pdf("# One\n\nFirst page.", "# Two\n\nSecond page.", "Third page.")).document

    pages = {}
    for sentence in ("First page.", "Second page.", "Third page."):
        start = document.text.index(sentence)
        pages[sentence] = [place.page for place in places_of(document, [(start, start + len(sentence))])]

    assert pages == {"First page.": [1], "Second page.": [2], "Third page.": [3]}


def test_running_heads_and_page_numbers_are_marked_as_no_content(target: Path) -> None:
    """They stay in the text where they stood, with the reason, and no sentence is torn apart by them."""
    document = extracted(
        target, pdf(*[f"# Part {i}\n\n{PROSE * 3}" for i in range(4)], header="Tarnfield - internal")
    ).document

    removed = [(document.text[part.start : part.end].strip(), part.reason) for part in document.removed]

    assert removed.count(("Tarnfield - internal", "PAGE_HEADER")) == 4
    assert [text for text, reason in removed if reason == "PAGE_NUMBER"] == ["1", "2", "3", "4"]
    assert "Tarnfield" not in kept(document)


def test_a_paragraph_goes_on_over_a_pages_end(target: Path) -> None:
    """It is one block on two pages; what stands at the page's foot between its halves is removed from it."""
    words = " ".join(f"word{i}" for i in range(900)) + ", and that is all."
    document = extracted(target, pdf(words, *["Other page."] * 3, header="Tarnfield")).document

    block = document.blocks[0]
    start = document.text.index(words[:10])
    text = kept(document)

    assert words in text
    assert {place.page for place in places_of(document, [(block.start, block.end)])} == {1, 2}
    assert block.start == start


ROWS = [
    ["Part", "Number", "Made of"],
    ["Valve", "12", "brass, which does not rust and is easy to work with on a lathe"],
    ["Lid", "1", "steel"],
    ["Screw", "6", "brass"],
]


@pytest.mark.parametrize("ruled", [True, False])
def test_tables_become_markdown(target: Path, ruled: bool) -> None:
    """With drawn cells or without; text that is wrapped within a cell stays in it."""
    document = extracted(target, table_pdf(ROWS, ruled)).document

    table = next(block for block in document.blocks if block.kind == "table")
    lines = document.text[table.start : table.end].split("\n")

    assert lines == ["| " + " | ".join(row) + " |" for row in (ROWS[0], ["---"] * 3, *ROWS[1:])]
    assert document.text[table.start + table.head :].startswith("| Valve")
    assert [block.kind for block in document.blocks] == ["paragraph", "table", "paragraph"]


def test_words_divided_at_line_ends_are_joined(target: Path) -> None:
    """A hyphen stays where the document writes the word with one elsewhere."""
    lines = ["The manufac-", "turing of the pump-", "house is well known. The pump-house is old."]

    assert text_of(target, lines_pdf(lines)) == (
        "The manufacturing of the pump-house is well known. The pump-house is old."
    )


def test_lists_keep_their_items(target: Path) -> None:
    """Bullets become dashes, numbers stay, lines that go on are joined."""
    bullets = ["Do this:", "\xb7 open the lid", "\xb7 turn the valve until", "   it clicks", "\xb7 close the lid"]

    document = extracted(target, lines_pdf(bullets)).document

    assert document.text == "Do this:\n\n- open the lid\n- turn the valve until it clicks\n- close the lid"
    assert [block.kind for block in document.blocks] == ["paragraph", "item", "item", "item"]


def test_code_keeps_its_lines_and_indentation(target: Path) -> None:
    """Lines in a face of fixed width."""
    code = ["def valve(open):", "    if open:", "        return 1", "    return 0"]

    assert text_of(target, lines_pdf(code, "Courier")) == "```\n" + "\n".join(code) + "\n```"


def test_turned_pages_are_read_in_their_direction(target: Path) -> None:
    """A landscape page whose content is turned."""
    lines = ["This is line one of it, and", "this is line two of it."]

    assert text_of(target, lines_pdf(lines, rotation=90)) == " ".join(lines)


def test_pages_without_text_are_counted_by_reason(target: Path) -> None:
    """In = out + dropped; one page with text is enough for a document."""
    found = extracted(target, pdf("Only here.", "", ""))

    assert (found.stage, found.came, found.went, dict(found.dropped)) == ("pages", 3, 1, {"BLANK": 2})
    assert found.extractor.startswith("pypdfium2 ")


def test_pictures_alone_are_no_text_and_the_pages_are_named(target: Path) -> None:
    """A scan: the remedy is OCR."""
    error = refused(target, picture_pdf(3))

    assert (error.reason, error.metadata) == ("NO_TEXT", {"pages": "1-3"})
    assert "OCR" in error.message


def test_a_password_is_named_as_the_trouble(target: Path) -> None:
    """A user's password keeps it shut; an owner's password alone does not."""
    assert refused(target, pdf("Secret.", password="x")).reason == "ENCRYPTED_DOCUMENT"


@pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.9, 0.99])
def test_a_truncated_document_is_never_read_in_part(target: Path, share: float) -> None:
    """Wherever it ends early, even where a reader could save some of its pages."""
    whole = pdf(*[f"# Part {i}\n\n{PROSE * 9}" for i in range(3)])

    assert refused(target, whole[: int(len(whole) * share)]).reason == "CORRUPT_DOCUMENT"


def test_an_update_that_is_cut_off_is_noticed(target: Path) -> None:
    """Objects after the last end mark mean that a part is missing; mere rubbish there does not."""
    whole = pdf("Hello.")
    target.write_bytes(whole + b"\n9 0 obj\n<< /Type")
    cut_off = ends_early(target)
    target.write_bytes(whole + b"\r\n\x00\x00 trailing")

    assert cut_off
    assert not ends_early(target)


def test_the_second_reader_gives_text_and_pages_too(target: Path) -> None:
    """pypdf stands in where PDFium breaks."""
    found = extracted(target, pdf("# One\n\nFirst page.", "Second page."), reader="pypdf")

    assert "First page." in found.document.text
    assert found.extractor.startswith("pypdf ")
    assert [page.page for page in found.document.pages] == [1, 2]


def test_what_is_no_pdf_at_all_is_corrupt(target: Path) -> None:
    """Rubbish behind the right magic number."""
    assert refused(target, b"%PDF-1.7\n" + b"rubbish " * 200).reason == "CORRUPT_DOCUMENT"


def test_page_lists_are_short() -> None:
    """Neighbours are joined, and a long list ends."""
    assert ranges([1, 2, 3, 7]) == "1-3, 7"
    assert ranges(range(1, 100, 2)).endswith(", 39, …")
