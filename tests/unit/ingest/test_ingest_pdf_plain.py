"""Pages of plain text that pdf_oxide reads are as PDFium would have read them; all others are left to PDFium."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from services.ingest.core.extraction import Extraction
from services.ingest.sandbox.pdf import read_pdf
from tests.fakes.big_pdf import big_pdf
from tests.fakes.documents import PROSE, pdf, table_pdf
from tests.fakes.pdf_lines import LINES, pages_of

MANUAL = [f"# Part {n}\n\n{PROSE * 4}\n\n## Its details\n\n{PROSE[n:]}well-\n\n- oil\n\n- water" for n in range(12)]
PLAIN = LINES["prose"]


def both_ways(folder: Path, data: bytes) -> tuple[Extraction, Extraction]:
    """Return what is read with pdf_oxide and what PDFium reads alone."""
    path = folder / "a.pdf"
    path.write_bytes(data)
    return read_pdf(path, "", lambda *_: None), read_pdf(path, "pypdfium2", lambda *_: None)


@pytest.mark.parametrize(
    "data",
    [big_pdf(50, 40), pdf(*MANUAL, header="Tarnfield Instruments")],
    ids=["full pages", "a manual"],
)
def test_plain_pages_are_as_pdfium_reads_them(tmp_path: Path, data: bytes) -> None:
    """Text, headings, pages and what was removed; the record names both programs."""
    fast, slow = both_ways(tmp_path, data)

    assert fast.document == slow.document
    assert "pdf_oxide" in fast.extractor
    assert "pdf_oxide" not in slow.extractor


def test_documents_whose_letters_the_two_place_differently_are_left_to_pdfium(tmp_path: Path) -> None:
    """Such as accented letters of a font whose widths are not in the file."""
    fast, slow = both_ways(tmp_path, pdf(*(text.replace("pump", "Pumpe für Öl") for text in MANUAL)))

    assert fast.document == slow.document
    assert "pdf_oxide" not in fast.extractor


@pytest.mark.parametrize("name", LINES)
def test_lines_out_of_the_ordinary_are_as_pdfium_reads_them(tmp_path: Path, name: str) -> None:
    """On any page after plain ones, be it one that is checked or not."""
    fast, slow = both_ways(tmp_path, pages_of(*[PLAIN] * 5, *[LINES[name], PLAIN] * 4))

    assert fast.document == slow.document


def test_short_documents_are_read_by_pdfium_alone(tmp_path: Path) -> None:
    """It has to read the first pages anyway."""
    fast, _ = both_ways(tmp_path, pages_of(PLAIN, PLAIN, PLAIN))

    assert "pdf_oxide" not in fast.extractor


def test_drawn_tables_are_found_on_pages_that_pdfium_did_not_read(tmp_path: Path) -> None:
    """By lines and boxes as pdf_oxide has them."""
    fast, slow = both_ways(
        tmp_path, table_pdf([["Pump", "Litres"], *([f"Kestrel {n}", f"{n}"] for n in range(400))], True)
    )

    assert fast.document == slow.document
    assert [block.kind for block in fast.document.blocks].count("table") > 4
    assert "pdf_oxide" in fast.extractor


def test_a_page_that_takes_too_long_ends_the_process() -> None:
    """By a signal, as a crash does, so that the next reader is tried; what ended in time is left alone."""
    program = (
        "from services.ingest.sandbox.pdfspans import guarded\n"
        "import time\n"
        "def work(seconds):\n"
        "    begun = time.process_time()\n"
        "    while time.process_time() - begun < seconds: pass\n"
        "with guarded(0.3): pass\n"
        "work(0.5)\n"
        "print('in time', flush=True)\n"
        "with guarded(0.1): work(10)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert (done.stdout, done.returncode) == ("in time\n", -signal.SIGPROF)
