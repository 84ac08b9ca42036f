"""Reading a document of any kind."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from services.ingest.core.document import to_json
from services.ingest.core.extraction import Extraction
from services.ingest.core.filenames import CSV, DOCX, HTML, JSON, JSONL, OLE, PDF, TSV, mismatch
from services.ingest.sandbox.job import Job, Progress


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
    }


def _read(job: Job, progress: Progress) -> Extraction:
    """Import only the reader that is needed: the process lives for one document."""
    source = Path(job.source)
    if job.mime_type == PDF:
        from services.ingest.sandbox.pdf import read_pdf

        return read_pdf(source, job.reader, progress)
    if job.mime_type in (DOCX, OLE):
        from services.ingest.sandbox.word import read_word

        return read_word(source, progress)
    if job.mime_type == HTML:
        from services.ingest.sandbox.html import read_html

        return read_html(source, progress)
    if job.mime_type in (CSV, TSV, JSON, JSONL):
        from services.ingest.sandbox.data import read_data

        return read_data(source, job.mime_type, progress)
    from services.ingest.sandbox.plaintext import read_text

    return read_text(source, job.mime_type, progress)
