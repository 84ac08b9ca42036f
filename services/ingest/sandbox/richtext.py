"""Rich Text (RTF): paragraphs and tables' cells, without formatting."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

from striprtf.striprtf import rtf_to_text

from services.ingest.core.extraction import Extraction, corrupt, no_text
from services.ingest.core.plain import plain_document
from services.ingest.core.writer import check_length
from services.ingest.sandbox.job import Progress


def read_rich_text(path: Path, progress: Progress) -> Extraction:
    """Return the text of an RTF.

    Raises:
        InvalidArgument: CORRUPT_DOCUMENT or NO_TEXT.
        Exhausted: EXTRACTION_LIMIT for more than 50 million characters.
    """
    check_length(path.stat().st_size // 4)
    data = path.read_bytes()
    if b"}" not in data[-64:]:
        raise corrupt("ends in the middle: a part of it is missing")
    progress("extract", 0, 1, "files")
    # RTF is ASCII; what is not is escaped, and the reader decodes it by the document's code page.
    text = rtf_to_text(data.decode("latin-1"), errors="replace")  # type: ignore[no-untyped-call]  # it has no types
    # Each \par ends a line: lines are paragraphs.
    document = plain_document("\n\n".join(line for line in text.split("\n") if line.strip()))
    if not document.blocks:
        raise no_text("has no text")
    progress("extract", 1, 1, "files")
    blocks = len(document.blocks)
    name = f"striprtf {importlib.metadata.version('striprtf')}"
    return Extraction(document, name, 0, "paragraphs", blocks, blocks)
