"""Rich Text (RTF): headings, paragraphs and tables, without formatting."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

from striprtf.striprtf import rtf_to_text

from services.ingest.core.document import ExtractedDocument
from services.ingest.core.extraction import Extraction, corrupt, no_text
from services.ingest.core.normal import clean, markdown_table, one_line
from services.ingest.core.writer import DocumentWriter, Segment, check_length
from services.ingest.sandbox.job import Progress
from services.ingest.sandbox.richmarks import marked, parts

_DEEPEST = 6
_LONGEST_HEADING = 200
"""Characters; what is longer is a paragraph, whatever its style."""


def read_rich_text(path: Path, progress: Progress) -> Extraction:
    """Return the text of an RTF as Markdown.

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
    text = rtf_to_text(marked(data.decode("latin-1")), errors="replace")  # type: ignore[no-untyped-call]  # it has no types
    document = _written(text)
    if not document.blocks:
        raise no_text("has no text")
    progress("extract", 1, 1, "files")
    blocks = len(document.blocks)
    name = f"striprtf {importlib.metadata.version('striprtf')}"
    return Extraction(document, name, 0, "paragraphs", blocks, blocks)


def _written(text: str) -> ExtractedDocument:
    writer = DocumentWriter()
    rows: list[list[str]] = []
    for part in parts(text):
        cells = [clean(cell).strip() for cell in part.cells]
        if part.kind == "row":
            rows.append(cells)
            continue
        _write_table(writer, rows)
        rows = []
        if part.kind == "heading" and len(cells[0]) <= _LONGEST_HEADING:
            writer.heading(min(part.level, _DEEPEST), [Segment(one_line(cells[0]))])
        elif cells[0]:
            writer.block("paragraph", [Segment("\\" + cells[0] if cells[0].startswith("#") else cells[0])])
    _write_table(writer, rows)
    return writer.document()


def _write_table(writer: DocumentWriter, rows: list[list[str]]) -> None:
    filled = [row for row in rows if any(row)]
    if filled:
        table, head = markdown_table(filled)
        writer.block("table", [Segment(table.rstrip("\n"))], head if len(filled) > 1 else 0)
