"""The pages of a PDF, each by the reader that does it at least cost: pdf_oxide where PDFium vouches for it."""

from __future__ import annotations

from pathlib import Path

from services.ingest.core.layout.page import Page
from services.ingest.sandbox import pdfspans
from services.ingest.sandbox.job import OPENED, Progress
from services.ingest.sandbox.ocr import Picture
from services.ingest.sandbox.pdfium import NAME, PdfiumDocument
from services.ingest.sandbox.pdfplain import PlainPages

_LEAST_PAGES = 4
"""Of shorter documents PDFium reads all pages: it has to read the first ones anyway."""


class PdfPages:
    """An opened PDF.

    Args:
        plain: whether pdf_oxide may read pages of plain text.
        progress: is told before pdf_oxide opens the document.

    Raises:
        pypdfium2.PdfiumError: PDFium cannot open it; err_code says why.
    """

    def __init__(self, path: Path, plain: bool, progress: Progress | None = None) -> None:
        self._document = PdfiumDocument(path)
        self.plain = plain
        self._plain: PlainPages | None = None
        self.by_plain = False
        """Whether a page was read by pdf_oxide."""
        if plain and len(self._document) >= _LEAST_PAGES:
            if progress:
                progress(OPENED, 0, 0, "pdf_oxide")
            self._begin(path)

    def _begin(self, path: Path) -> None:
        try:
            self._plain = PlainPages(path, len(self._document), self._document.area)
        except ValueError:
            self._plain = None

    def __len__(self) -> int:
        return len(self._document)

    @property
    def name(self) -> str:
        """The programs that read pages, with their versions."""
        return f"{NAME} + {pdfspans.NAME}" if self.by_plain else NAME

    def page(self, index: int) -> tuple[Page, bool]:
        """Return a page by its index from 0, and whether there is a picture on it; the latter of pages without text.

        Raises:
            pypdfium2.PdfiumError: the page cannot be loaded.
        """
        plain = self._plain
        if plain is None:
            return self._document.page(index)
        size = self._document.size(index)
        page = plain.page(index, size)
        if page:
            self.by_plain = True
            return page, False
        found = self._document.page(index)
        plain.learn(index, size, found[0])
        if plain.hopeless:
            self._plain = None
        return found

    def picture(self, index: int, path: Path, dpi: float) -> Picture:
        """Write a page as a grey picture; see PdfiumDocument.picture."""
        return self._document.picture(index, path, dpi)

    def close(self) -> None:
        """Close the document."""
        self._plain = None
        self._document.close()
