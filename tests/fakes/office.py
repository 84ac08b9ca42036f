"""Presentations, workbooks, books and OpenDocument texts made on the spot."""

from __future__ import annotations

import datetime
import io
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

import openpyxl
import pptx

EPUB = "application/epub+zip"
ODT = "application/vnd.oasis.opendocument.text"
ODS = "application/vnd.oasis.opendocument.spreadsheet"


def zipped(entries: Mapping[str, str | bytes], mimetype: str = "") -> bytes:
    """Return an archive; mimetype, if given, is its first entry and not packed."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        if mimetype:
            archive.writestr("mimetype", mimetype, zipfile.ZIP_STORED)
        for name, data in entries.items():
            archive.writestr(name, data)
    return out.getvalue()


def pptx_file(notes: str = "") -> bytes:
    """Return a presentation: a title and a list, a slide that is hidden, a table and a text box without a title."""
    deck = pptx.Presentation()
    first = deck.slides.add_slide(deck.slide_layouts[1])
    first.shapes.title.text = "The Kestrel pump"
    frame = first.placeholders[1].text_frame
    frame.text = "It moves coolant"
    nested = frame.add_paragraph()
    nested.text, nested.level = "through lasers", 1
    if notes:
        first.notes_slide.notes_text_frame.text = notes
    hidden = deck.slides.add_slide(deck.slide_layouts[5])
    hidden.shapes.title.text = "Draft"
    hidden.element.set("show", "0")
    third = deck.slides.add_slide(deck.slide_layouts[6])
    size = pptx.util.Inches(1)
    third.shapes.add_textbox(0, 0, size, size).text_frame.text = "Prices of 2026"
    table = third.shapes.add_table(2, 2, 0, size, size, size).table
    for cell, text in zip(table.iter_cells(), ("Part", "Price", "Lid", "12"), strict=True):
        cell.text = text
    out = io.BytesIO()
    deck.save(out)
    return out.getvalue()


def xlsx_file(sheets: Mapping[str, Sequence[Sequence[Any]]], hidden: Sequence[str] = ()) -> bytes:
    """Return a workbook with rows for each sheet."""
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(list(row))
        if name in hidden:
            sheet.sheet_state = "hidden"
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def epub_file(*chapters: str) -> bytes:
    """Return a book with a table of contents and a document for each chapter's body."""
    kind = 'media-type="application/xhtml+xml"'
    items = [f'<item id="c{n}" href="text/c{n}.xhtml" {kind}/>' for n in range(len(chapters))]
    nav = f'<item id="nav" href="nav.xhtml" {kind} properties="nav"/>'
    spine = "".join(f'<itemref idref="{id}"/>' for id in ("nav", *(f"c{n}" for n in range(len(chapters)))))
    page = '<html xmlns="http://www.w3.org/1999/xhtml"><head><title/></head><body>{}</body></html>'
    return zipped(
        {
            "META-INF/container.xml": '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
            '<rootfile full-path="OPS/book.opf"/></rootfiles></container>',
            "OPS/book.opf": '<package xmlns="http://www.idpf.org/2007/opf"><manifest>'
            f"{nav}{''.join(items)}</manifest><spine>{spine}</spine></package>",
            "OPS/nav.xhtml": page.format("<nav><ol><li>One</li></ol></nav>"),
            **{f"OPS/text/c{n}.xhtml": page.format(body) for n, body in enumerate(chapters)},
        },
        EPUB,
    )


def odt_file(body: str, head: str = "", **entries: str) -> bytes:
    """Return an OpenDocument text. body: what is inside office:text; head: declarations before the root element."""
    spaces = " ".join(
        f'xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{name if name != "draw" else "drawing"}:1.0"'
        for name in ("office", "text", "table", "draw", "style")
    )
    content = f"{head}<office:document-content {spaces}><office:automatic-styles>"
    content += '<style:style style:name="P1" style:parent-style-name="Preformatted_20_Text"/></office:automatic-styles>'
    content += f"<office:body><office:text>{body}</office:text></office:body></office:document-content>"
    return zipped({"content.xml": content, **entries}, ODT)


def ods_file(sheets: Mapping[str, Sequence[Sequence[Any]]], hidden: Sequence[str] = ()) -> bytes:
    """Return an OpenDocument workbook with rows for each sheet; texts beginning with "=" are formulas without value."""
    urn = "urn:oasis:names:tc:opendocument:xmlns"
    spaces = " ".join(f'xmlns:{name}="{urn}:{name}:1.0"' for name in ("office", "text", "table", "style"))
    content = f'<office:document-content {spaces} office:version="1.3"><office:automatic-styles>'
    content += '<style:style style:name="hidden" style:family="table"><style:table-properties table:display="false"/>'
    content += "</style:style></office:automatic-styles><office:body><office:spreadsheet>"
    for name, rows in sheets.items():
        style = ' table:style-name="hidden"' if name in hidden else ""
        content += f'<table:table table:name="{name}"{style}>'
        for row in rows:
            content += (
                "<table:table-row>" + ("".join(map(_ods_cell, row)) or "<table:table-cell/>") + "</table:table-row>"
            )
        content += "</table:table>"
    content += "</office:spreadsheet></office:body></office:document-content>"
    manifest = f'<manifest:manifest xmlns:manifest="{urn}:manifest:1.0" manifest:version="1.3">'
    manifest += f'<manifest:file-entry manifest:full-path="/" manifest:media-type="{ODS}"/></manifest:manifest>'
    return zipped({"content.xml": content, "META-INF/manifest.xml": manifest}, ODS)


def _ods_cell(value: object) -> str:
    text = f"<text:p>{value}</text:p>"
    if isinstance(value, bool):
        kind, text = f'"boolean" office:boolean-value="{str(value).lower()}"', f"<text:p>{str(value).upper()}</text:p>"
    elif isinstance(value, datetime.date):
        kind = f'"date" office:date-value="{value.isoformat()}"'
    elif isinstance(value, (int, float)):
        kind = f'"float" office:value="{value}"'
    elif str(value).startswith("="):
        return f'<table:table-cell table:formula="of:{value}"/>'
    else:
        kind = '"string"'
    return f"<table:table-cell office:value-type={kind}>{text}</table:table-cell>"


def rezipped(data: bytes, old: bytes, new: bytes) -> bytes:
    """Return an archive in whose members one thing stands in place of another."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    assert any(old in found for found in entries.values())
    return zipped({name: found.replace(old, new) for name, found in entries.items()})
