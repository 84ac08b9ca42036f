"""What reading a document gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from services.common.errors import InvalidArgument
from services.ingest.core.document import ExtractedDocument


@dataclass(frozen=True)
class Extraction:
    """A document's text and how complete it is: came = went + what was dropped.

    Args:
        document: the text.
        extractor: the program that read it, with its version.
        pages: pages of a PDF; 0 for formats without pages.
        stage: what is counted: "pages" of a PDF, "paragraphs" otherwise.
        came: how many there were.
        went: how many gave text.
        dropped: how many did not, by reason.
        left: the program that was tried first and failed, with its version; "" if the first one succeeded.
        left_because: reason, exception or signal for which it was left.
        textless: pages of a PDF without text, because they hold pictures alone, are blank or cannot be read.
        recognised: pages of a PDF whose text comes from OCR.
    """

    document: ExtractedDocument
    extractor: str
    pages: int
    stage: str
    came: int
    went: int
    dropped: Mapping[str, int] = field(default_factory=dict)
    left: str = ""
    left_because: str = ""
    textless: Sequence[int] = ()
    recognised: Sequence[int] = ()


def corrupt(problem: str) -> InvalidArgument:
    """Return the error for a document that cannot be read as what it is. problem: a clause that says why."""
    return InvalidArgument(f"The document {problem}. Save it again from its program.", reason="CORRUPT_DOCUMENT")


def encrypted() -> InvalidArgument:
    """Return the error for a document that wants a password."""
    return InvalidArgument(
        "The document is encrypted. Remove its password, then upload it again.", reason="ENCRYPTED_DOCUMENT"
    )


def no_text(problem: str, pages: Sequence[int] = ()) -> InvalidArgument:
    """Return the error for a document without text. problem: a clause that says so; pages: those that hold pictures."""
    metadata = {"pages": ranges(pages)} if pages else {}
    return InvalidArgument(
        f"The document {problem}. If it is a scan, run OCR over it first.", reason="NO_TEXT", metadata=metadata
    )


def ranges(numbers: Sequence[int]) -> str:
    """Return rising numbers as people write them: "1-3, 7"; long lists end with "…"."""
    found: list[list[int]] = []
    for number in numbers:
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    shown = [f"{a}" if a == b else f"{a}-{b}" for a, b in found[:20]]
    return ", ".join(shown) + (", …" if len(found) > 20 else "")
