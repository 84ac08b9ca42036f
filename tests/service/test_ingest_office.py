"""Office documents over real gRPC: slides, workbooks, books, OpenDocument, RTF, each chunk with its place."""

from __future__ import annotations

import datetime
from typing import Any

from tests.fakes.ingesting import read
from tests.fakes.office import epub_file, ods_file, odt_file, pptx_file, rezipped, xlsx_file
from tests.fakes.running import Served
from tests.service.test_ingest_formats import drops, pieces, server, text_of

__all__ = ["server"]


async def test_slides_have_titles_lists_tables_and_notes(server: tuple[Any, Served]) -> None:
    """A hidden slide is counted; a slide without a title is below no other's; each chunk names its slide."""
    stub, served = server
    file = await read(stub, pptx_file(notes="Say this slowly."), "pump.pptx")

    assert await text_of(served, file) == (
        "# The Kestrel pump\n\n- It moves coolant\n  - through lasers\n\nNotes: Say this slowly.\n\n"
        "Prices of 2026\n\n| Part | Price |\n| --- | --- |\n| Lid | 12 |"
    )
    assert drops(file) == {"HIDDEN_SLIDE": 1}
    places = [place for chunk in await pieces(stub, file, max_tokens=512) for place in chunk.places]
    assert [place.slide for place in places] == [1, 1, 1, 1, 3, 3]
    assert [list(place.headings) for place in places[3:5]] == [["The Kestrel pump"], []]


async def test_sheets_become_tables_whose_chunks_name_their_cells(server: tuple[Any, Served]) -> None:
    """Stored values as text; hidden sheets and formulas that nothing has computed are counted, never evaluated."""
    stub, served = server
    prices = [["Prices of 2026"], [], ["part", "price", "since"], ["Lid", 12, datetime.date(2026, 1, 2)]]
    prices += [[f"Screw {n}", n / 4, True] for n in range(1, 30)]
    sheets = {"Prices": prices, "Secret": [["x", "y"]], "Sums": [["total", "=1+2"], ["of", "all"]]}
    file = await read(stub, xlsx_file(sheets, hidden=["Secret"]), "prices.xlsx")
    found = await pieces(stub, file, max_tokens=64)

    text = await text_of(served, file)
    assert text.startswith("# Prices\n\nPrices of 2026\n\n| part | price | since |\n| --- | --- | --- |\n")
    assert "| Lid | 12 | 2026-01-02 |\n| Screw 1 | 0.25 | TRUE |" in text
    assert "# Sums\n\ntotal\n\n| of | all |" in text
    assert drops(file) == {"HIDDEN_SHEET": 2, "FORMULA_WITHOUT_VALUE": 1}
    assert file.text.extractor.startswith("python-calamine ")
    table = [chunk for chunk in found if chunk.text.startswith("| Screw")]
    for chunk in table:
        number = int(chunk.text.split()[2])
        assert chunk.places[0].sheet == "Prices"
        assert chunk.places[0].cells.startswith(f"A{number + 4}:C")
        assert chunk.context[-1].startswith("| part | price | since |")
    assert len(table) > 3


async def test_opendocument_sheets_are_read_as_workbooks_are(server: tuple[Any, Served]) -> None:
    """Numbers, dates and truth values as text, hidden sheets counted, and each chunk with its cells."""
    stub, served = server
    prices = [["part", "price", "since", "new"], ["Lid", 12, datetime.date(2026, 1, 2), True]]
    prices += [[f"Screw {n}", n / 4, datetime.date(2026, 1, 3), False] for n in range(1, 30)]
    file = await read(stub, ods_file({"Prices": prices, "Secret": [["x", "y"]]}, hidden=["Secret"]), "prices.ods")
    found = await pieces(stub, file, max_tokens=64)

    text = await text_of(served, file)
    assert text.startswith("# Prices\n\n| part | price | since | new |\n| --- | --- | --- | --- |\n")
    assert "| Lid | 12 | 2026-01-02 | TRUE |\n| Screw 1 | 0.25 | 2026-01-03 | FALSE |" in text
    assert drops(file) == {"HIDDEN_SHEET": 2}
    assert file.text.extractor.startswith("python-calamine ")
    table = [chunk for chunk in found if chunk.text.startswith("| Screw")]
    assert len(table) > 3
    for chunk in table:
        number = int(chunk.text.split()[2])
        assert chunk.places[0].sheet == "Prices"
        assert chunk.places[0].cells.startswith(f"A{number + 2}:D")


async def test_the_second_reader_of_workbooks_reads_what_the_first_does_not_know(server: tuple[Any, Served]) -> None:
    """calamine knows no errors newer than itself; the file says which program was left and why."""
    stub, served = server
    data = rezipped(xlsx_file({"A": [["part", "price"], ["Lid", 1]]}), b'<c r="B2" t="n"><v>1</v>', SPILL)
    file = await read(stub, data, "spill.xlsx")

    assert await text_of(served, file) == "# A\n\n| part | price |\n| --- | --- |\n| Lid | #SPILL! |"
    assert file.text.extractor.startswith("openpyxl ")
    assert file.text.failed_extractor.startswith("python-calamine ")
    assert file.text.failed_because == "CORRUPT_DOCUMENT"


async def test_a_book_is_read_in_the_order_of_its_spine(server: tuple[Any, Served]) -> None:
    """Chapters are HTML; the table of contents is counted as navigation."""
    stub, served = server
    file = await read(stub, epub_file("<h1>One</h1><p>First.</p>", "<h1>Two</h1><p>Second.</p>"), "book.epub")

    assert await text_of(served, file) == "# One\n\nFirst.\n\n# Two\n\nSecond."
    assert drops(file) == {"NAVIGATION": 1}
    places = [place for chunk in await pieces(stub, file) for place in chunk.places]
    assert [list(place.headings) for place in places] == [[], ["One"], [], ["Two"]]


async def test_an_opendocument_text_keeps_its_structure(server: tuple[Any, Served]) -> None:
    """Headings, lists, tables, code and notes; spaces and line breaks that are elements; pictures are counted."""
    stub, served = server
    body = (
        '<text:h text:outline-level="1">Pump</text:h><text:p>It  moves<text:s text:c="2"/>coolant<text:note>'
        "<text:note-citation>1</text:note-citation><text:note-body><text:p>Or water.</text:p></text:note-body>"
        "</text:note>.<text:line-break/>Blue.</text:p><text:list><text:list-item><text:p>first</text:p><text:list>"
        "<text:list-item><text:p>nested</text:p></text:list-item></text:list></text:list-item></text:list>"
        '<text:p text:style-name="P1">def f():</text:p><text:p text:style-name="P1"><text:s text:c="4"/>pass</text:p>'
        "<table:table><table:table-row><table:table-cell><text:p>Part</text:p></table:table-cell><table:table-cell>"
        "<text:p>Price</text:p></table:table-cell></table:table-row><table:table-row><table:table-cell><text:p>Lid"
        "</text:p></table:table-cell><table:table-cell><text:p>12</text:p></table:table-cell></table:table-row>"
        "</table:table><text:p><draw:frame><draw:image/></draw:frame></text:p>"
    )
    file = await read(stub, odt_file(body), "pump.odt")

    assert await text_of(served, file) == (
        "# Pump\n\nIt moves coolant[^1].\nBlue.\n\n- first\n  - nested\n\n```\ndef f():\n    pass\n```\n\n"
        "| Part | Price |\n| --- | --- |\n| Lid | 12 |\n\n[^1]: Or water."
    )
    assert drops(file) == {"IMAGE": 1}


async def test_rich_text_becomes_paragraphs(server: tuple[Any, Served]) -> None:
    """Formatting goes, escaped characters are decoded."""
    stub, served = server
    data = rb"{\rtf1\ansi{\fonttbl{\f0 Times;}}{\b The pump} moves \u252?ber coolant.\par Gr\'fc\'dfe.\par}"
    file = await read(stub, data, "pump.rtf")

    assert await text_of(served, file) == "The pump moves über coolant.\n\nGrüße."


SPILL = b'<c r="B2" t="e"><v>#SPILL!</v>'
