"""Pages of which only the text is known, not where it stood."""

from __future__ import annotations

import re
from collections.abc import Sequence

from services.ingest.core.document import ExtractedDocument
from services.ingest.core.layout.wording import Vocabulary, flowed
from services.ingest.core.normal import one_line, printed
from services.ingest.core.writer import DocumentWriter, Segment

_GAP = re.compile(r"\n\s*\n")


def from_texts(pages: Sequence[tuple[int, str]]) -> ExtractedDocument:
    """Return page numbers and texts as a document: blank lines divide paragraphs, other lines are joined."""
    cleaned = [(number, printed(text)) for number, text in pages]
    vocabulary = Vocabulary(line.strip() for _, text in cleaned for line in text.split("\n"))
    writer = DocumentWriter()
    for number, text in cleaned:
        for paragraph in _GAP.split(text):
            lines = [one_line(line) for line in paragraph.split("\n") if line.strip()]
            if lines:
                joined = flowed(lines, [False] * (len(lines) - 1), vocabulary)
                writer.block("paragraph", [Segment(joined, number)])
    return writer.document()
