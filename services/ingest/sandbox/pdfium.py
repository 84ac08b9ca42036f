"""PDF by PDFium: what stands where on each page."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import pypdfium2
import pypdfium2.raw as raw

from services.ingest.core.layout.page import Page
from services.ingest.sandbox.ocr import Picture
from services.ingest.sandbox.pdfchars import read_chars
from services.ingest.sandbox.pdffaces import Faces, address
from services.ingest.sandbox.pdfframe import Box

NAME = f"pypdfium2 {pypdfium2.PYPDFIUM_INFO}"

_MOST_PIXELS = 40_000_000
_MOST_RULES = 20_000
_THIN = 2.5
"""Boxes thinner than this, in points, are drawn lines."""

_DEEPEST = 3
"""Forms within forms are looked into so deep."""

_page_object = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int)(address(raw.FPDFPage_GetObject))
_form_object = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_ulong)(address(raw.FPDFFormObj_GetObject))
"""FPDFPage_GetObject and FPDFFormObj_GetObject with addresses as numbers."""


class PdfiumDocument:
    """An opened PDF.

    Args:
        source: a file, or the document itself.

    Raises:
        pypdfium2.PdfiumError: PDFium cannot open it; err_code says why.
    """

    def __init__(self, source: Path | bytes) -> None:
        self._document = pypdfium2.PdfDocument(source)
        self._faces = Faces()

    def __len__(self) -> int:
        return len(self._document)

    def page(self, index: int) -> tuple[Page, bool]:
        """Return a page by its index from 0, and whether there is a picture on it.

        Raises:
            pypdfium2.PdfiumError: the page cannot be loaded.
        """
        page = self._document[index]
        try:
            area = page.get_bbox()
            text = page.get_textpage()
            try:
                self._faces.forget_nameless()
                chars = read_chars(text.raw, text.count_chars(), area, self._faces)
            finally:
                text.close()
            box = chars.frame.box(*area)
            rules, pictures = (_drawn(page, chars.objects), False) if chars.runs else ([], _has_picture(page))
            return (
                Page(
                    number=index + 1,
                    width=box[2] - box[0],
                    height=box[3] - box[1],
                    runs=chars.runs,
                    rules=[chars.frame.rule(rule, box) for rule in rules],
                    turned=chars.turned,
                ),
                pictures,
            )
        finally:
            page.close()

    def size(self, index: int) -> tuple[float, float]:
        """Return width and height of a page, in points; (0, 0) if there is no such page. The page is not loaded."""
        size = raw.FS_SIZEF()
        raw.FPDF_GetPageSizeByIndexF(self._document, index, ctypes.byref(size))
        return size.width, size.height

    def area(self, index: int) -> Box:
        """Return left, bottom, right and top of a page in its own space.

        Raises:
            pypdfium2.PdfiumError: the page cannot be loaded.
        """
        page = self._document[index]
        try:
            left, bottom, right, top = page.get_bbox()
            return left, bottom, right, top
        finally:
            page.close()

    def picture(self, index: int, path: Path, dpi: float) -> Picture:
        """Write a page as a grey picture (PGM) and return it; very large pages get fewer pixels to an inch.

        Raises:
            pypdfium2.PdfiumError: the page cannot be loaded or drawn.
        """
        page = self._document[index]
        try:
            width, height = page.get_size()
            dpi = min(dpi, 72 * (_MOST_PIXELS / max(width * height, 1)) ** 0.5)
            bitmap = page.render(scale=dpi / 72, grayscale=True)
            try:
                with path.open("wb") as file:
                    file.write(f"P5 {bitmap.width} {bitmap.height} 255\n".encode())
                    rows = memoryview(bitmap.buffer).cast("B")
                    for row in range(bitmap.height):
                        file.write(rows[row * bitmap.stride : row * bitmap.stride + bitmap.width])
                return Picture(path, bitmap.width, bitmap.height, dpi)
            finally:
                bitmap.close()
        finally:
            page.close()

    def close(self) -> None:
        """Close the document."""
        self._document.close()


def _has_picture(page: pypdfium2.PdfPage) -> bool:
    return next(iter(page.get_objects(filter=[raw.FPDF_PAGEOBJ_IMAGE, raw.FPDF_PAGEOBJ_SHADING])), None) is not None


def _drawn(page: pypdfium2.PdfPage, texts: Collection[int]) -> list[Box]:
    """Return drawn lines and edges of drawn boxes as (x0, y0, x1, y1) in the page's own space.

    Args:
        texts: addresses of objects that are known to be text.
    """
    found: list[Box] = []
    for item in _paths(
        _page_object, ctypes.cast(page.raw, ctypes.c_void_p).value, raw.FPDFPage_CountObjects(page), texts
    ):
        if len(found) > _MOST_RULES:
            break
        sides = [ctypes.c_float() for _ in range(4)]
        if raw.FPDFPageObj_GetBounds(item, *map(ctypes.byref, sides)):
            left, bottom, right, top = (side.value for side in sides)
            found.extend(edges(left, bottom, right, top, raw.FPDFPath_CountSegments(item)))
    return found


def _paths(
    get: Callable[[int | None, int], int | None], owner: int | None, count: int, texts: Collection[int], depth: int = 1
) -> Iterator[raw.FPDF_PAGEOBJECT]:
    """Yield the paths of a page or of a form on it."""
    for index in range(count):
        where = get(owner, index)
        if where is None or where in texts:
            continue
        item = ctypes.cast(where, raw.FPDF_PAGEOBJECT)
        kind = raw.FPDFPageObj_GetType(item)
        if kind == raw.FPDF_PAGEOBJ_PATH:
            yield item
        elif kind == raw.FPDF_PAGEOBJ_FORM and depth < _DEEPEST:
            yield from _paths(_form_object, where, raw.FPDFFormObj_CountObjects(item), texts, depth + 1)


def edges(
    left: float, bottom: float, right: float, top: float, segments: int
) -> Iterator[tuple[float, float, float, float]]:
    """Yield the lines that a path's bounds stand for: one for a thin path, four for a box."""
    width, height = right - left, top - bottom
    if width <= _THIN and height <= _THIN:
        return
    if height <= _THIN:
        y = (bottom + top) / 2
        yield left, y, right, y
    elif width <= _THIN:
        x = (left + right) / 2
        yield x, bottom, x, top
    elif segments <= 6:
        yield left, bottom, right, bottom
        yield left, top, right, top
        yield left, bottom, left, top
        yield right, bottom, right, top


def error_code(error: pypdfium2.PdfiumError) -> int:
    """Return PDFium's code of an error, 0 if it has none."""
    return int(error.err_code or 0)


PASSWORD = raw.FPDF_ERR_PASSWORD
SECURITY = raw.FPDF_ERR_SECURITY
