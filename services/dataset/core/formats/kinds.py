"""What a file is, by its first bytes: to tell those who bring one that holds no rows."""

from __future__ import annotations

from services.common.errors import InvalidArgument

ENOUGH = 4_096
"""First bytes of a file that are looked at."""
PARQUET = b"PAR1"
FORMS = "JSON Lines, one JSON list, CSV or TSV in UTF-8, and Parquet"
"""What is imported."""
_KNOWN = (
    (b"PK\x03\x04", "a zip archive or an Office document such as .xlsx"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office document such as .xls"),
    (b"\x89PNG", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"GIF8", "a GIF picture"),
    (b"%PDF", "a PDF"),
    (b"\x1f\x8b", "compressed by gzip"),
    (b"\x28\xb5\x2f\xfd", "compressed by Zstandard"),
    (b"ARROW1", "an Arrow file"),
    (b"SQLite format 3", "an SQLite database"),
    (b"\xff\xfe", "text in UTF-16"),
    (b"\xfe\xff", "text in UTF-16"),
    (b"{\\rtf", "an RTF document"),
)
_MARKUP = (
    (b"<!doctype html", "a web page"),
    (b"<html", "a web page"),
    (b"<?xml", "XML"),
)
"""Of text, behind white space, in whichever case."""


def other_than_text(first: bytes) -> str:
    """Return what a file is that holds no rows: "a PNG picture", "a web page"; "" if it may hold some."""
    words = first.removeprefix(b"\xef\xbb\xbf").lstrip()[:32].lower()
    found = next((name for start, name in _KNOWN if first.startswith(start)), "")
    found = found or next((name for start, name in _MARKUP if words.startswith(start)), "")
    return found or ("binary data" if b"\0" in first else "")


def refused(filename: str, other: str) -> InvalidArgument:
    """Return the error for a file that holds no rows (IMPORT_NOT_TEXT), with the forms that do.

    Args:
        other: what it is.
    """
    return InvalidArgument(
        f"{filename!r} is {other}. Imported are files of examples: {FORMS}. Save it as one of them; a document to "
        "learn from is sent with `ftf upload`.",
        reason="IMPORT_NOT_TEXT",
    )
