"""Word documents as Markdown."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import docx
import pytest
from docx.document import Document
from docx.oxml import parse_xml
from docx.oxml.ns import nsdecls

from services.common.errors import FineTuneFlowError
from services.ingest.core.extraction import Extraction
from services.ingest.core.places import places_of
from services.ingest.sandbox.word import read_word
from tests.fakes.documents import docx_file, png, saved, zip_bomb_docx


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """Where the document is put."""
    return tmp_path / "document.docx"


def extracted(target: Path, data: bytes | Document) -> Extraction:
    """Return what is read of a document."""
    target.write_bytes(data if isinstance(data, bytes) else saved(data))
    return read_word(target, lambda *_: None)


def refused(target: Path, data: bytes) -> FineTuneFlowError:
    """Return the error of a document that cannot be read."""
    with pytest.raises(FineTuneFlowError) as caught:
        extracted(target, data)
    return caught.value


def repacked(data: bytes, **parts: bytes) -> bytes:
    """Return an archive with some parts replaced or added; "__" stands for "/"."""
    out = io.BytesIO()
    named = {name.replace("__", "/") + ".xml": content for name, content in parts.items()}
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, named.pop(name, old.read(name)))
    return out.getvalue()


def test_headings_lists_and_paragraphs_become_markdown(target: Path) -> None:
    """A title stands above the headings; a paragraph knows its headings and its number."""
    document = docx.Document()
    document.add_heading("Pump", 0)
    document.add_heading("Care", 1)
    document.add_paragraph("Oil the bearing.\nTwice.")
    for style, text in (("List Bullet", "open"), ("List Bullet 2", "the lid"), ("List Number", "turn")):
        document.add_paragraph(text, style=style)
    document.add_paragraph("close", style="List Number")

    found = extracted(target, document).document
    start = found.text.index("Oil")
    (place,) = places_of(found, [(start, start + 3)])

    assert found.text == ("# Pump\n\n## Care\n\nOil the bearing.\nTwice.\n\n- open\n  - the lid\n1. turn\n2. close")
    assert (place.headings, place.paragraph, place.page) == (("Pump", "Care"), 3, 0)


def test_tables_become_markdown_with_merged_cells_once(target: Path) -> None:
    """A merged cell's text stands once; a bar in a cell is escaped; a table of one column is no table."""
    document = docx.Document()
    table = document.add_table(rows=2, cols=3)
    for index, text in enumerate(("Part", "Number", "a|b")):
        table.cell(0, index).text = text
    table.cell(1, 0).merge(table.cell(1, 1)).text = "both"
    table.cell(1, 2).text = "two\nlines"
    document.add_table(rows=1, cols=1).cell(0, 0).text = "A note in a box."

    assert extracted(target, document).document.text == (
        "| Part | Number | a\\|b |\n| --- | --- | --- |\n| both |  | two lines |\n\nA note in a box."
    )


def test_what_a_reader_sees_is_read_and_what_was_deleted_is_not(target: Path) -> None:
    """Tracked insertions, links, fields and content controls are text; deletions and hidden text are none."""
    document = docx.Document()
    paragraph = document.add_paragraph("The pump ")._p
    ns = nsdecls("w")
    for xml in (
        f"<w:ins {ns}><w:r><w:t>inserted </w:t></w:r></w:ins>",
        f"<w:del {ns}><w:r><w:delText>deleted </w:delText></w:r></w:del>",
        f"<w:r {ns}><w:rPr><w:vanish/></w:rPr><w:t>hidden </w:t></w:r>",
        f"<w:hyperlink {ns}><w:r><w:t>linked</w:t></w:r></w:hyperlink>",
        f"<w:r {ns}><w:instrText>PAGE</w:instrText></w:r>",
    ):
        paragraph.append(parse_xml(xml))
    inner = f"<w:sdt {ns}><w:sdtContent><w:p><w:r><w:t>In a control.</w:t></w:r></w:p></w:sdtContent></w:sdt>"
    document.element.body.insert(1, parse_xml(inner))

    assert extracted(target, document).document.text == "The pump inserted linked\n\nIn a control."


def test_code_is_fenced_and_a_leading_hash_is_no_heading(target: Path) -> None:
    """Paragraphs of a code style keep their spaces; Markdown's own mark is escaped."""
    document = docx.Document()
    document.styles.add_style("Source Code", 1)
    document.add_paragraph("# not a heading")
    for line in ("def f():", "    return 1"):
        document.add_paragraph(line, style="Source Code")

    assert extracted(target, document).document.text == "\\# not a heading\n\n```\ndef f():\n    return 1\n```"


def test_what_is_left_out_is_counted(target: Path) -> None:
    """Pictures and running heads: in = out + dropped."""
    document = docx.Document()
    document.add_paragraph("Text.")
    document.add_picture(io.BytesIO(png()))
    document.sections[0].header.paragraphs[0].text = "Running head"

    found = extracted(target, document)

    assert found.document.text == "Text."
    assert (found.came, found.went, dict(found.dropped)) == (3, 1, {"IMAGE": 1, "PAGE_HEADER": 1})


def test_a_document_of_pictures_has_no_text(target: Path) -> None:
    """It is refused, not read as empty."""
    document = docx.Document()
    document.add_picture(io.BytesIO(png()))

    assert refused(target, saved(document)).reason == "NO_TEXT"


def test_bombs_are_refused_by_their_directory(target: Path) -> None:
    """Before anything is unpacked: too much in all, too much XML, packed too tightly, too many parts."""
    crowd = io.BytesIO(docx_file("Hello."))
    with zipfile.ZipFile(crowd, "a") as archive:
        for index in range(10_001):
            archive.writestr(f"media/{index}", b"")
    bombs = {
        "unpack to 520 MiB": zip_bomb_docx(520),
        "130 MiB of XML": zip_bomb_docx(130),
        "packed": zip_bomb_docx(20),
        "10,0": crowd.getvalue(),
    }
    for words, data in bombs.items():
        error = refused(target, data)
        assert error.reason == "EXTRACTION_LIMIT"
        assert words in error.message


def with_entities(entities: str, text: str) -> bytes:
    """Return a document whose XML declares entities and uses them."""
    body = '<w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"><w:body><w:p><w:r>'
    xml = f"<!DOCTYPE x [{entities}]>{body}<w:t>{text}</w:t></w:r></w:p></w:body></w:document>"
    return repacked(docx_file("x"), word__document=xml.encode())


def test_a_billion_laughs_are_refused(target: Path) -> None:
    """Entities that multiply are never expanded."""
    laughs = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 9))

    error = refused(target, with_entities(f'<!ENTITY l0 "lol">{laughs}', "a&l8;b"))

    assert error.reason == "CORRUPT_DOCUMENT"


def test_an_entity_reads_no_file(target: Path) -> None:
    """An external entity stays unresolved."""
    secret = target.with_name("secret.txt")
    secret.write_text("the secret")

    data = with_entities(f'<!ENTITY f SYSTEM "file://{secret}">', "a&f;b")

    assert "secret" not in extracted(target, data).document.text


def test_damaged_and_foreign_archives_are_corrupt(target: Path) -> None:
    """An archive cut off, one that is no document, broken XML, and Word's old format."""
    good = docx_file("Hello.")
    plain = io.BytesIO()
    with zipfile.ZipFile(plain, "w") as archive:
        archive.writestr("a.txt", "hello")
    old_word = bytes.fromhex("d0cf11e0a1b11ae1") + bytes(1000)

    for data in (good[:-300], plain.getvalue(), repacked(good, word__document=b"<w:doc"), old_word):
        assert refused(target, data).reason == "CORRUPT_DOCUMENT"


def test_an_encrypted_document_is_named_as_that(target: Path) -> None:
    """Word keeps it in a container of its old kind."""
    container = bytes.fromhex("d0cf11e0a1b11ae1") + bytes(500) + "EncryptedPackage".encode("utf-16-le") + bytes(500)

    assert refused(target, container).reason == "ENCRYPTED_DOCUMENT"
