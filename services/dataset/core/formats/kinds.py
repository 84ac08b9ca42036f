"""What a file is, by its first bytes: to tell those who bring one that holds no rows."""

from __future__ import annotations

ENOUGH = 4_096
"""First bytes of a file that are looked at."""
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
)


def other_than_text(first: bytes) -> str:
    """Return what a file is that is no text in UTF-8: "a PNG picture"; "" if it may be some."""
    found = next((name for start, name in _KNOWN if first.startswith(start)), "")
    return found or ("binary data" if b"\0" in first else "")
