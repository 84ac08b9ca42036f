"""python -m tests.bench.extractors [FILE.pdf …]: PDF and XLSX by both of their readers, beside the bare libraries.

Quality is the similarity of the words read to the words written (1 − insertions and deletions / words, Indel), where
the source is known: the sample documents, and pages made here. Speed is pages a second in this process, without the
start of a child; the best of three runs.
"""

from __future__ import annotations

import io
import re
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openpyxl
import pypdf
import pypdfium2
from rapidfuzz.distance import Indel

from services.ingest.core.extraction import Extraction
from services.ingest.core.filenames import XLSX
from services.ingest.sandbox.pdf import read_pdf
from services.ingest.sandbox.sheets import read_sheets
from tests.fakes.documents import PROSE, pdf

SAMPLES = Path(__file__).parents[2] / "samples"
_WORD = re.compile(r"\w+")


def words(text: str) -> list[str]:
    """Return a text's words, without Markdown's marks."""
    return _WORD.findall(text.lower())


def untold(*_: object) -> None:
    """Take in progress that nobody waits for."""


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """Return what work gives and its best time of three, in seconds."""
    best, found = float("inf"), None
    for _ in range(3):
        begun = time.perf_counter()
        found = work()
        best = min(best, time.perf_counter() - begun)
    return found, best


def bare_pdfium(path: Path) -> str:
    """Return the text as PDFium gives it."""
    document = pypdfium2.PdfDocument(path)
    return "\n".join(page.get_textpage().get_text_bounded() for page in document)


def bare_pypdf(path: Path) -> str:
    """Return the text as pypdf gives it."""
    return "\n".join(page.extract_text() for page in pypdf.PdfReader(path).pages)


def pdfs(folder: Path, others: list[Path]) -> list[tuple[Path, str]]:
    """Return documents and, where it is known, what is written in them."""
    sources = [
        (SAMPLES / "documents" / f"{p.stem}.pdf", p.read_text()) for p in sorted((SAMPLES / "sources").iterdir())
    ]
    pages = [f"# Part {n}\n\n{PROSE * 8}\n\n## Details of part {n}\n\n{PROSE * 4}" for n in range(200)]
    (folder / "made-200-pages.pdf").write_bytes(pdf(*pages, header="Tarnfield Instruments"))
    found = [(path, text) for path, text in sources if path.exists()]
    return [*found, (folder / "made-200-pages.pdf", "\n".join(pages)), *((path, "") for path in others)]


def report(name: str, program: str, pages: int, seconds: float, text: str, source: str) -> None:
    """Print a row."""
    quality = f"{Indel.normalized_similarity(words(source), words(text)):.3f}" if source else "-"
    print(f"| {name} | {program} | {pages} | {pages / seconds:,.0f} | {quality} |")


def kept(found: Extraction) -> str:
    """Return the text of a document without what was removed."""
    text, end = "", 0
    for part in found.document.removed:
        text, end = text + found.document.text[end : part.start], part.end
    return text + found.document.text[end:]


def main(others: list[Path]) -> None:
    """Print the table."""
    print("| document | reader | pages | pages/s | quality |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for path, source in pdfs(Path(folder), others):
            for program, reader in (("FineTuneFlow, PDFium", ""), ("FineTuneFlow, pypdf", "pypdf")):
                found, seconds = timed(lambda path=path, reader=reader: read_pdf(path, reader, untold))
                report(path.name, program, found.pages, seconds, kept(found), source)
            pages = found.pages
            for program, bare in (("bare pypdfium2", bare_pdfium), ("bare pypdf", bare_pypdf)):
                text, seconds = timed(lambda path=path, bare=bare: bare(path))
                report(path.name, program, pages, seconds, text, source)
        sheets(Path(folder) / "made.xlsx")


def sheets(path: Path) -> None:
    """Print rows a second of a made workbook by both readers."""
    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet("Rows")
    for n in range(20_000):
        sheet.append([n, n / 7, f"Valve {n}", "left bank", n % 2 == 0])
    out = io.BytesIO()
    book.save(out)
    path.write_bytes(out.getvalue())
    for reader in ("", "openpyxl"):
        found, seconds = timed(lambda reader=reader: read_sheets(path, XLSX, reader, untold))
        print(f"{found.extractor}: {20_000 / seconds:,.0f} rows/s, {found.went:,} cells")


if __name__ == "__main__":
    main([Path(name) for name in sys.argv[1:]])
