"""Reading a PDF of our own, so that what readers and layout set up for the first one is there for all others."""

from __future__ import annotations

from pathlib import Path

from services.ingest.core.document import to_json
from services.ingest.sandbox.pdf import read_pdf

_DOCUMENT = Path(__file__).with_name("rehearsal.pdf")
"""Five pages in the usual fonts, with headings, a list, a table, code, a running head and page numbers."""


def rehearse() -> None:
    """Read it: PDFium then knows the machine's fonts."""
    for _ in to_json(read_pdf(_DOCUMENT, "", lambda *said: None).document):
        pass
