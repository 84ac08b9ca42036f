"""PDF documents: PDFium first, pypdf where PDFium fails or finds no text."""

from __future__ import annotations

import contextlib
import logging
import mmap
import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pypdf
import pypdfium2

from services.ingest.core.document import ExtractedDocument
from services.ingest.core.extraction import Extraction, corrupt, encrypted, no_text, ranges
from services.ingest.core.layout.assemble import composed
from services.ingest.core.layout.loose import from_texts
from services.ingest.core.layout.page import Page
from services.ingest.core.layout.sketch import Sketch
from services.ingest.sandbox import pdfium
from services.ingest.sandbox.fallback import first_or_second
from services.ingest.sandbox.job import Progress
from services.ingest.sandbox.ocr import DPI, OcrBudget, Recogniser, recognised
from services.ingest.sandbox.pdfpages import PdfPages
from services.ingest.sandbox.pdfshares import Shares

# What pypdf raises on damaged files besides its own errors.
_BROKEN = (pypdf.errors.PyPdfError, ValueError, KeyError, TypeError, AttributeError, IndexError, OSError)
_LENGTH = re.compile(rb"/Linearized\b.{0,200}?/L\s+(\d+)", re.DOTALL)
_START = re.compile(rb"startxref\s+\d+\s*\Z")


def read_pdf(path: Path, reader: str, progress: Progress, scans: Scans | None = None, processes: int = 1) -> Extraction:
    """Return the text of a PDF.

    Args:
        reader: "pypdfium2" to leave pdf_oxide out, "pypdf" to leave PDFium out, too.
        scans: reads the pictures of pages without text; None for no OCR.
        processes: how many may read a long document at once.

    Raises:
        InvalidArgument: ENCRYPTED_DOCUMENT, CORRUPT_DOCUMENT, or NO_TEXT with the pages that hold pictures alone.
    """
    if reader == "pypdf":
        return _by_pypdf(path, progress)
    return first_or_second(
        lambda: _by_pdfium(path, progress, scans, processes, plain=not reader),
        lambda: _by_pypdf(path, progress),
        pdfium.NAME,
    )


def _by_pdfium(path: Path, progress: Progress, scans: Scans | None, processes: int, plain: bool) -> Extraction:
    try:
        document = PdfPages(path, plain, progress)
    except pypdfium2.PdfiumError as error:
        if pdfium.error_code(error) in (pdfium.PASSWORD, pdfium.SECURITY):
            raise encrypted() from error
        raise corrupt("is damaged") from error
    if ends_early(path):
        raise corrupt("ends in the middle: a part of it is missing")
    tally = _Tally(len(document), progress)
    with contextlib.closing(document), contextlib.closing(Shares(document, path, processes)) as shares:
        pages = list(_sketches(document, shares, scans, tally))
        name = document.name + (f" + {scans.name}" if scans and scans.used else "")
        numbers = [page.number for page in pages]
        return tally.extraction(lambda found: composed(found, partial(shares.parts, numbers)), pages, name)


def _sketches(document: PdfPages, shares: Shares, scans: Scans | None, tally: _Tally) -> Iterator[Sketch]:
    """Yield the pages with text, and count all of them."""
    for index, found in enumerate(shares.sketches()):
        if found is None:
            tally.without(index + 1, "UNREADABLE")
            continue
        sketch, picture = found
        if sketch.written:
            yield sketch
            tally.done(index + 1)
        elif picture and scans is not None:
            seen, why = scans.read(document, index)
            if seen is not None:
                yield shares.keep(seen)
                tally.recognised(index + 1)
            else:
                tally.without(index + 1, why)
        else:
            tally.without(index + 1, "IMAGE_ONLY" if picture else "BLANK")


class Scans:
    """Reads the pictures of pages by OCR, as long as its budget lasts.

    Args:
        recogniser: the program.
        budget: pages and time.
        picture: a file for one picture at a time.
    """

    def __init__(self, recogniser: Recogniser, budget: OcrBudget, picture: Path) -> None:
        self._recogniser = recogniser
        self._budget = budget
        self._picture = picture
        self.used = False

    @property
    def name(self) -> str:
        """The program with its version."""
        return self._recogniser.name()

    def read(self, document: PdfPages, index: int) -> tuple[Page | None, str]:
        """Return a page with what is printed on its picture, or None and the reason why there is no text."""
        if not self._budget.take():
            return None, "OCR_LIMIT"
        try:
            found = recognised(index + 1, document.picture(index, self._picture, DPI), self._recogniser)
        except pypdfium2.PdfiumError:
            return None, "UNREADABLE"
        self.used = self.used or found is not None
        return found, "IMAGE_ONLY"


class _Tally:
    """Counts pages in, with text, and without."""

    def __init__(self, pages: int, progress: Progress) -> None:
        self._pages = pages
        self._progress = progress
        self._dropped: dict[str, list[int]] = {}
        self._recognised: list[int] = []

    def done(self, number: int) -> None:
        """Count a page with text."""
        self._progress("extract", number, self._pages, "pages")

    def recognised(self, number: int) -> None:
        """Count a page whose text comes from its picture."""
        self._recognised.append(number)
        self.done(number)

    def without(self, number: int, reason: str) -> None:
        """Count a page without text."""
        self._dropped.setdefault(reason, []).append(number)
        self.done(number)

    def extraction(
        self, assembled: Callable[[Sequence[Any]], ExtractedDocument], pages: Sequence[Any], extractor: str
    ) -> Extraction:
        """Return what the pages with text give together.

        Raises:
            InvalidArgument: there are none.
        """
        if not pages:
            raise self._nothing()
        return Extraction(
            document=assembled(pages),
            extractor=extractor,
            pages=self._pages,
            stage="pages",
            came=self._pages,
            went=len(pages),
            dropped={reason: len(numbers) for reason, numbers in self._dropped.items()},
            recognised=self._recognised,
            textless=sorted(number for numbers in self._dropped.values() for number in numbers),
        )

    def _nothing(self) -> Exception:
        pictures = sorted(self._dropped.get("IMAGE_ONLY", []) + self._dropped.get("OCR_LIMIT", []))
        if pictures:
            return no_text(f"has no text: its pages ({ranges(pictures)}) hold pictures alone", pictures)
        if self._dropped.get("UNREADABLE") or not self._pages:
            return corrupt("has no page that can be read")
        return no_text("has no text: its pages are blank", self._dropped.get("BLANK", []))


def _by_pypdf(path: Path, progress: Progress) -> Extraction:
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)
    try:
        document = pypdf.PdfReader(path, strict=False)
        if document.is_encrypted and not document.decrypt(""):
            raise encrypted()
        count = len(document.pages)
    except (pypdf.errors.FileNotDecryptedError, pypdf.errors.WrongPasswordError) as error:
        raise encrypted() from error
    except pypdf.errors.DependencyError as error:  # its cipher needs a library; PDFium did not know it either
        raise encrypted() from error
    except _BROKEN as error:
        problem = "ends in the middle: a part of it is missing" if ends_early(path) else "is damaged"
        raise corrupt(problem) from error
    if not count or ends_early(path):
        raise corrupt("ends in the middle or is damaged: no complete page list was found")
    pages: list[tuple[int, str]] = []
    tally = _Tally(count, progress)
    for index in range(count):
        try:
            text = document.pages[index].extract_text()
        except _BROKEN:
            tally.without(index + 1, "UNREADABLE")
            continue
        if text.strip():
            pages.append((index + 1, text))
            tally.done(index + 1)
        else:
            tally.without(index + 1, "IMAGE_ONLY")
    return tally.extraction(from_texts, pages, f"pypdf {pypdf.__version__}")


def ends_early(path: Path) -> bool:
    """Whether a PDF's end is missing: no end mark, objects after the last one, or shorter than it says it is."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        announced = _LENGTH.search(data[:1024])
        if announced and int(announced[1]) > len(data):
            return True
        end = data.rfind(b"%%EOF")
        if end < 0:
            return not _START.search(data[-1024:])
        return b" obj" in data[end : end + (1 << 20)]
