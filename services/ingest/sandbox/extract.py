"""Reading a document of any kind."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from services.ingest.core.document import to_json
from services.ingest.core.extraction import Extraction
from services.ingest.core.filenames import (
    CSV,
    DOCX,
    EPUB,
    HTML,
    JSON,
    JSONL,
    ODT,
    OFFICE,
    PDF,
    PPTX,
    RTF,
    TSV,
    expected,
    mismatch,
)
from services.ingest.core.sample import sample
from services.ingest.sandbox.job import Job, Progress

if TYPE_CHECKING:
    from services.ingest.sandbox.pdf import Scans

_OCR_SHARE = 0.6
"""Of the time that a job has, OCR may take so much."""

MOST_LISTED = 2_000
"""Page numbers that are listed at most, so that an answer stays short."""


def extract(job: Job, progress: Progress) -> dict[str, Any]:
    """Write the document's text as JSON and return what is known of it.

    Raises:
        InvalidArgument: the document cannot be read, with the reason.
        Exhausted: it is too large to be read (EXTRACTION_LIMIT).
    """
    wrong = mismatch(job.mime_type, job.filename)
    if wrong:
        raise wrong
    found = _read(job, progress)
    digest = hashlib.sha256()
    with Path(job.target).open("wb") as out:
        for piece in to_json(found.document):
            data = piece.encode()
            digest.update(data)
            out.write(data)
    return {
        "sha256": digest.hexdigest(),
        "characters": len(found.document.text),
        "pages": found.pages,
        "extractor": found.extractor,
        "stage": found.stage,
        "came": found.came,
        "went": found.went,
        "dropped": dict(found.dropped),
        "sample": sample(found.document),
        "left": found.left or job.left,
        "left_because": found.left_because or job.left_because,
        "textless": list(found.textless)[:MOST_LISTED],
        "recognised": list(found.recognised)[:MOST_LISTED],
    }


def _read(job: Job, progress: Progress) -> Extraction:
    """Import only the reader that is needed: the process lives for one document."""
    source = Path(job.source)
    if job.mime_type == PDF:
        from services.ingest.sandbox.pdf import read_pdf

        return read_pdf(source, job.reader, progress, _scans(job), job.processes)
    if expected(job.filename) in OFFICE:
        return _office(source, job, progress)
    if job.mime_type == HTML:
        from services.ingest.sandbox.html import read_html

        return read_html(source, progress)
    if job.mime_type in (CSV, TSV, JSON, JSONL):
        from services.ingest.sandbox.data import read_data

        return read_data(source, job.mime_type, progress)
    if job.mime_type == RTF:
        from services.ingest.sandbox.richtext import read_rich_text

        return read_rich_text(source, progress)
    from services.ingest.sandbox.plaintext import read_text

    return read_text(source, job.mime_type, progress)


def _scans(job: Job) -> Scans | None:
    """Return what reads the pictures of a PDF's pages, if tesseract is to be used."""
    if not job.ocr.program:
        return None
    from services.ingest.sandbox.ocr import OcrBudget, Tesseract
    from services.ingest.sandbox.pdf import Scans

    program = Tesseract(job.ocr.program, job.ocr.languages, job.ocr.page_seconds)
    budget = OcrBudget(job.ocr, job.limits.wall_seconds * _OCR_SHARE)
    return Scans(program, budget, Path(job.target + ".pgm"))


def _office(source: Path, job: Job, progress: Progress) -> Extraction:
    """Read what comes in an archive; an encrypted one comes in another container and is told by its name."""
    kind = expected(job.filename)
    if kind == DOCX:
        from services.ingest.sandbox.word import read_word

        return read_word(source, progress)
    if kind == PPTX:
        from services.ingest.sandbox.slides import read_slides

        return read_slides(source, progress)
    if kind == EPUB:
        from services.ingest.sandbox.epub import read_epub

        return read_epub(source, progress)
    if kind == ODT:
        from services.ingest.sandbox.opendocument import read_opendocument

        return read_opendocument(source, progress)
    from services.ingest.sandbox.sheets import read_sheets

    return read_sheets(source, kind, job.reader, progress)
