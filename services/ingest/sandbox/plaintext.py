"""Text and Markdown files."""

from __future__ import annotations

import re
from pathlib import Path

from services.common.errors import InvalidArgument
from services.ingest.core.extraction import Extraction, corrupt, no_text
from services.ingest.core.filenames import MARKDOWN
from services.ingest.core.plain import markdown_document, plain_document
from services.ingest.core.writer import MAX_CHARACTERS, check_length
from services.ingest.sandbox.job import Progress

_CONTROLS = re.compile("[\x01-\x08\x0e-\x1a\x1c-\x1f\x7f]")
_OVERSTRUCK = re.compile("[^\\n\x08]\x08")
_ESCAPES = re.compile("\x1b\\[[0-9;:?]{0,32}[A-Za-z]|\x1b[()][A-Z0-9]|\x1b\\][^\x07\x1b\\n]{0,500}(?:\x07|\x1b\\\\)")
_MOST_CONTROLS = 0.01
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


def read_text(path: Path, mime_type: str, progress: Progress) -> Extraction:
    """Return the text of a UTF-8 file; a byte-order mark is left out.

    Raises:
        InvalidArgument: NOT_UTF8 with the place, CORRUPT_DOCUMENT for binary data, NO_TEXT for white space alone.
        Exhausted: EXTRACTION_LIMIT for more than 50 million characters.
    """
    # A code point has at most four bytes, so a larger file need not be read.
    check_length(path.stat().st_size // 4)
    text = without_terminal_marks(decoded(path.read_bytes()))
    check_length(len(text))
    if len(_CONTROLS.findall(text[:MAX_CHARACTERS])) > max(8, _MOST_CONTROLS * len(text)):
        raise corrupt("is binary data, not text")
    if not text.strip():
        raise no_text("has no text: it holds white space alone")
    progress("extract", 0, 1, "files")
    markdown = mime_type == MARKDOWN
    document = markdown_document(text) if markdown else plain_document(text)
    progress("extract", 1, 1, "files")
    return Extraction(
        document=document,
        extractor="markdown-it-py" if markdown else "text",
        pages=0,
        stage="paragraphs",
        came=len(document.blocks),
        went=len(document.blocks),
    )


def without_terminal_marks(text: str) -> str:
    """Return text without the letters struck over and the escape sequences by which terminals show bold and colour."""
    if "\x08" in text:
        text = _OVERSTRUCK.sub("", text)
    return _ESCAPES.sub("", text) if "\x1b" in text else text


def decoded(data: bytes) -> str:
    """Return UTF-8 bytes as text.

    Raises:
        InvalidArgument: NOT_UTF8, or CORRUPT_DOCUMENT for NUL bytes.
    """
    if data.startswith(_UTF16):
        raise not_utf8("is UTF-16", 0)
    if b"\x00" in data:
        raise corrupt("has NUL bytes: it is binary data, not text")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise not_utf8(f"has the byte 0x{data[error.start]:02x} in line {line}", error.start) from error


def not_utf8(problem: str, position: int) -> InvalidArgument:
    """Return the error for a text that is not UTF-8. problem: a clause that says where."""
    return InvalidArgument(
        f"The text is not UTF-8: it {problem}. Convert it, for instance with iconv.",
        reason="NOT_UTF8",
        metadata={"position": str(position)},
    )
