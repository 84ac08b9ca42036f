"""Pages of a PDF that one process has read and keeps until it is known what of them is furniture."""

from __future__ import annotations

from collections.abc import Collection

import pypdfium2

from services.ingest.core.layout.assemble import Parts, parts_of
from services.ingest.core.layout.page import Page
from services.ingest.core.layout.sketch import Sketch, sketched
from services.ingest.sandbox.pdfpages import PdfPages

Found = tuple[Sketch, bool] | None
"""A page in short, and whether there is a picture on it; None if it cannot be read."""


class Sheets:
    """Reads pages.

    Args:
        document: whose pages they are.
    """

    def __init__(self, document: PdfPages) -> None:
        self._document = document
        self._pages: dict[int, Page] = {}

    def __contains__(self, number: int) -> bool:
        return number in self._pages

    def numbers(self) -> list[int]:
        """Return the numbers of the pages that are kept, in the order in which they were read."""
        return list(self._pages)

    def read(self, index: int) -> Found:
        """Read a page by its index from 0, and keep it if there is text on it."""
        try:
            page, picture = self._document.page(index)
        except pypdfium2.PdfiumError:
            return None
        return self.keep(page), picture

    def keep(self, page: Page) -> Sketch:
        """Keep a page if there is text on it; return it in short."""
        sketch = sketched(page)
        if sketch.written:
            self._pages[page.number] = page
        return sketch

    def parts(self, number: int, outer: Collection[int]) -> Parts:
        """Return the parts of a page by its number from 1, and let go of it. One that is not here is read first.

        Args:
            outer: which of its runs are furniture.

        Raises:
            pypdfium2.PdfiumError: it was read by another process that is gone, and cannot be read a second time.
        """
        page = self._pages.pop(number, None) or self._document.page(number - 1)[0]
        return parts_of(page, outer)
