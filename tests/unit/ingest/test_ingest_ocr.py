"""OCR: what every recogniser has to do, the stand-in and the real program alike; and what becomes of what it sees."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from services.ingest.sandbox.job import Ocr
from services.ingest.sandbox.ocr import OcrBudget, Picture, Tesseract, recognised
from services.ingest.sandbox.pdf import Scans, read_pdf
from services.ingest.sandbox.pdfium import PdfiumDocument
from tests.fakes.documents import pdf
from tests.fakes.scans import WORDS, scanned_pdf, stand_in


@pytest.fixture(params=["stand-in", "real"])
def program(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The path of a tesseract."""
    if request.param == "stand-in":
        return str(stand_in(tmp_path / "bin"))
    found = shutil.which("tesseract")
    if not found:
        pytest.skip("tesseract is not installed")
    return found


def picture(folder: Path, text: str) -> Picture:
    """Return a picture of a page."""
    (folder / "scan.pdf").write_bytes(scanned_pdf(text))
    document = PdfiumDocument(folder / "scan.pdf")
    try:
        return document.picture(0, folder / "page.pgm", 200)
    finally:
        document.close()


def test_words_come_in_reading_order_with_their_places(program: str, tmp_path: Path) -> None:
    """Each on a line, inside the picture, with a certainty; the program says its version."""
    page = picture(tmp_path, WORDS + ".")
    recogniser = Tesseract(program, "", 60)
    words = recogniser.words(page)

    assert " ".join(word.text for word in words).rstrip(".") == WORDS
    assert len({word.line for word in words}) == 1
    for word in words:
        assert 0 <= word.x0 < word.x1 <= page.width
        assert 0 <= word.y0 < word.y1 <= page.height
        assert 30 <= word.certain <= 100
    assert recogniser.name().startswith("tesseract ")


def test_a_blank_picture_has_no_words(program: str, tmp_path: Path) -> None:
    """No words, and so no page."""
    page = picture(tmp_path, "")

    assert list(Tesseract(program, "", 60).words(page)) == []
    assert recognised(1, page, Tesseract(program, "", 60)) is None


def test_a_scan_gives_text_page_by_page_and_says_how(program: str, tmp_path: Path) -> None:
    """The record names both programs and the pages; a page without words stays counted as a picture."""
    path = tmp_path / "scan.pdf"
    path.write_bytes(scanned_pdf(WORDS, "", WORDS))
    scans = Scans(Tesseract(program, "", 60), OcrBudget(Ocr(), 60), tmp_path / "page.pgm")
    found = read_pdf(path, "", lambda *_: None, scans)

    assert found.document.text == f"{WORDS}\n\n{WORDS}"
    assert [(page.page) for page in found.document.pages] == [1, 3]
    assert " + tesseract " in found.extractor
    assert (list(found.recognised), list(found.textless), dict(found.dropped)) == ([1, 3], [2], {"IMAGE_ONLY": 1})


def test_ocr_ends_where_its_budget_ends(tmp_path: Path) -> None:
    """Pages over it are counted with a reason of their own."""
    path = tmp_path / "scan.pdf"
    path.write_bytes(scanned_pdf(WORDS, WORDS, WORDS))
    program = Tesseract(str(stand_in(tmp_path / "bin")), "", 60)
    scans = Scans(program, OcrBudget(Ocr(pages=2), 60), tmp_path / "page.pgm")
    found = read_pdf(path, "", lambda *_: None, scans)

    assert (found.went, dict(found.dropped)) == (2, {"OCR_LIMIT": 1})


def test_pages_with_text_are_not_recognised(tmp_path: Path) -> None:
    """OCR is for pages that have nothing else, and is not named where it was not used."""
    path = tmp_path / "text.pdf"
    path.write_bytes(pdf("Some words."))
    scans = Scans(Tesseract("/nonexistent", "", 60), OcrBudget(Ocr(), 60), tmp_path / "page.pgm")
    found = read_pdf(path, "", lambda *_: None, scans)

    assert found.document.text == "Some words."
    assert "tesseract" not in found.extractor


def test_a_program_that_fails_or_hangs_costs_its_page_alone(tmp_path: Path) -> None:
    """The page has no words then."""
    page = picture(tmp_path, WORDS)
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\nexit 3\n")
    slow = tmp_path / "slow"
    slow.write_text("#!/bin/sh\nexec sleep 30\n")
    for program in (broken, slow):
        program.chmod(0o755)

    assert list(Tesseract(str(broken), "", 60).words(page)) == []
    assert list(Tesseract(str(slow), "", 0.2).words(page)) == []
    assert list(Tesseract("/nonexistent", "", 60).words(page)) == []
