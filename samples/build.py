"""Remake the PDF and DOCX samples from samples/sources: python samples/build.py [OUT]

The same sources give the same bytes: dates are fixed and the DOCX archive is packed again in name order. The Markdown
and text samples in samples/documents are written by hand and are not touched. Everything told in them is invented.
"""

from __future__ import annotations

import io
import sys
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from docx import Document
from fpdf import FPDF

HERE = Path(__file__).resolve().parent
PDF = ("kestrel-40-specification", "company-history")
DOCX = ("kestrel-40-maintenance", "travel-policy")
DATE = datetime(2026, 1, 15, 9, 0, tzinfo=UTC)


def blocks(text: str) -> Iterator[tuple[int, str]]:
    """Yield (heading level, text) of each block of simple Markdown; level 0 is a paragraph."""
    for block in text.split("\n\n"):
        words = block.strip()
        level = len(words) - len(words.lstrip("#"))
        if words:
            yield level, words[level:].strip()


class Pages(FPDF):
    """A4 pages with a page number at the foot, as company documents have."""

    def footer(self) -> None:
        """Write the page number below the text."""
        self.set_y(-15)
        self.set_font("Times", size=9)
        self.cell(0, 10, f"Page {self.page_no()}", align="C")


def pdf(source: Path) -> bytes:
    """Set a source as a PDF in one of the fonts that every reader has."""
    pages = Pages()
    pages.set_creation_date(DATE)
    pages.set_margins(22, 20)
    pages.set_auto_page_break(True, margin=20)
    pages.add_page()
    for level, text in blocks(source.read_text(encoding="utf-8")):
        if level == 1:
            pages.set_title(text)
        size = {0: 11, 1: 18}.get(level, 13)
        pages.set_font("Times", style="B" if level else "", size=size)
        pages.multi_cell(0, size * 0.52, text, align="L", new_x="LMARGIN", new_y="NEXT")
        pages.ln(3)
    return bytes(pages.output())


def docx(source: Path) -> bytes:
    """Set a source as a Word document with heading styles."""
    document = Document()
    properties = document.core_properties
    properties.author = "Tarnfield Instruments"
    properties.created = properties.modified = DATE.replace(tzinfo=None)
    for level, text in blocks(source.read_text(encoding="utf-8")):
        if level:
            document.add_heading(text, level - 1)
        else:
            document.add_paragraph(text)
    saved = io.BytesIO()
    document.save(saved)
    return repacked(saved)


def repacked(archive: io.BytesIO) -> bytes:
    """Pack a ZIP again without the times of day that it was written at."""
    out = io.BytesIO()
    with zipfile.ZipFile(archive) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        # The content types come first, as Word writes them; the rest by name.
        for name in sorted(old.namelist(), key=lambda n: (n != "[Content_Types].xml", n)):
            info = zipfile.ZipInfo(name, date_time=DATE.timetuple()[:6])
            info.compress_type = zipfile.ZIP_DEFLATED
            new.writestr(info, old.read(name))
    return out.getvalue()


def main(out: Path) -> None:
    """Write the four documents into out, replacing what is there."""
    out.mkdir(parents=True, exist_ok=True)
    for name in PDF:
        (out / f"{name}.pdf").write_bytes(pdf(HERE / "sources" / f"{name}.md"))
    for name in DOCX:
        (out / f"{name}.docx").write_bytes(docx(HERE / "sources" / f"{name}.md"))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "documents")
