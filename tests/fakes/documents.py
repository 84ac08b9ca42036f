"""Documents made on the spot: good ones with a known layout, and each kind of bad one."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Sequence

import docx
from docx.document import Document
from fpdf import FPDF
from fpdf.fonts import FontFace

PROSE = (
    "The Kestrel pump moves coolant through laboratory lasers and sample furnaces. Its housing is made of blue cast "
    "aluminium, and its lid is held by six brass screws. The serial number is stamped under the left foot. "
)


def pdf(*pages: str, header: str = "", password: str = "", size: float = 11) -> bytes:
    """Return a PDF with one page for each text; "# " begins a heading, an empty line a paragraph.

    Args:
        header: printed at the top of every page; page numbers then stand at the foot.
        password: needed to open it; "" for none.
        size: font size of the body.
    """
    out = _Pages(header)
    out.set_margins(22, 20)
    if password:
        out.set_encryption(owner_password=password + "-owner", user_password=password)
    for text in pages:
        out.add_page()
        for block in text.split("\n\n"):
            level = len(block) - len(block.lstrip("#"))
            out.set_font("Times", "B" if level else "", size + (8 - 3 * level if level else 0))
            out.multi_cell(0, out.font_size * 1.3, block.lstrip("# "), align="L", new_x="LMARGIN", new_y="NEXT")
            out.ln(3)
    return bytes(out.output())


class _Pages(FPDF):
    def __init__(self, header: str) -> None:
        super().__init__()
        self._running = header

    def header(self) -> None:
        if self._running:
            self.set_font("Helvetica", "", 8)
            self.cell(0, 5, self._running, new_x="LMARGIN", new_y="NEXT")
            self.ln(4)

    def footer(self) -> None:
        if self._running:
            self.set_y(-15)
            self.set_font("Helvetica", "", 8)
            self.cell(0, 5, f"{self.page_no()}", align="C")


def columns_pdf(title: str, left: Sequence[str], right: Sequence[str], by_rows: bool = False) -> bytes:
    """Return a page with a title over two columns of lines; by_rows: written into the file from left to right."""
    out = FPDF()
    out.add_page()
    out.set_font("Times", "B", 18)
    out.cell(0, 12, title)
    out.set_font("Times", "", 10)
    places = [(15.0, 30 + 5.0 * i, line) for i, line in enumerate(left)]
    places += [(112.0, 30 + 5.0 * i, line) for i, line in enumerate(right)]
    for x, y, line in sorted(places, key=lambda p: (p[1], p[0])) if by_rows else places:
        out.text(x, y, line)
    return bytes(out.output())


def table_pdf(rows: Sequence[Sequence[str]], ruled: bool) -> bytes:
    """Return a page with a table between two paragraphs, with drawn cells or with none."""
    out = FPDF()
    out.add_page()
    out.set_font("Times", "", 11)
    out.multi_cell(0, 6, PROSE, new_x="LMARGIN", new_y="NEXT")
    out.ln(4)
    layout = {"borders_layout": "ALL" if ruled else "NONE", "first_row_as_headings": False}
    with out.table(**layout, text_align="LEFT", headings_style=FontFace()) as table:
        for cells in rows:
            row = table.row()
            for cell in cells:
                row.cell(cell)
    out.ln(4)
    out.multi_cell(0, 6, "That was the table. " + PROSE, new_x="LMARGIN", new_y="NEXT")
    return bytes(out.output())


def lines_pdf(lines: Sequence[str], font: str = "Times", step: float = 5, rotation: int = 0) -> bytes:
    """Return a page with exactly these lines; rotation: the page is turned by so many degrees for display."""
    out = FPDF()
    out.add_page()
    out.set_font(font, "", 11)
    for index, line in enumerate(lines):
        if rotation:
            with out.rotation(rotation, 105, 148):
                out.text(20, 30 + step * index, line)
        else:
            out.text(20, 30 + step * index, line)
    content = bytes(out.output())
    return content.replace(b"/Type /Page\n", b"/Type /Page\n/Rotate %d\n" % rotation) if rotation else content


def picture_pdf(pages: int = 2) -> bytes:
    """Return a PDF whose pages hold a picture and no text, as a scan does."""
    out = FPDF()
    for _ in range(pages):
        out.add_page()
        out.image(io.BytesIO(png()), x=20, y=20, w=100)
    return bytes(out.output())


def png() -> bytes:
    """Return a small grey picture."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 4, 4, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0\x80\x80\x80\x80" * 4))
        + chunk(b"IEND", b"")
    )


def saved(document: Document) -> bytes:
    """Return a Word document's bytes."""
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()


def docx_file(*blocks: str) -> bytes:
    """Return a Word document: "# " begins a heading, "- " a bullet, all else is a paragraph."""
    document = docx.Document()
    for block in blocks:
        level = len(block) - len(block.lstrip("#"))
        if level:
            document.add_heading(block.lstrip("# "), level)
        elif block.startswith("- "):
            document.add_paragraph(block[2:], style="List Bullet")
        else:
            document.add_paragraph(block)
    return saved(document)


def zip_bomb_docx(mebibytes: int = 2_000) -> bytes:
    """Return a small archive named like a Word document that would unpack to so many MiB of zeros."""
    out = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(docx_file("Hello."))) as good,
        zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as bad,
    ):
        for name in good.namelist():
            if name != "word/document.xml":
                bad.writestr(name, good.read(name))
        with bad.open("word/document.xml", "w", force_zip64=True) as part:
            block = bytes(1 << 20)
            for _ in range(mebibytes):
                part.write(block)
    return out.getvalue()
