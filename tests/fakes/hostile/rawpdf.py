"""PDFs put together by hand, however wrong."""

from __future__ import annotations

from collections.abc import Mapping

CATALOG = b"<< /Type /Catalog /Pages 2 0 R >>"
PAGES = b"<< /Type /Pages /Count 1 /Kids [3 0 R] >>"
FONT = b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"
TEXT = b"BT /F 12 Tf 72 700 Td (A line of text.) Tj ET"


def page(more: bytes = b"", resources: bytes = b"/Font << /F 5 0 R >>") -> bytes:
    """Return a page that shows object 4 in the font of object 5."""
    return (
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R /Resources << "
        + resources
        + b" >> "
        + more
        + b" >>"
    )


def stream(data: bytes, entries: bytes = b"", length: bytes = b"") -> bytes:
    """Return a stream object's body; length: what it says of its length instead of the truth."""
    size = length or str(len(data)).encode()
    return b"<< /Length " + size + b" " + entries + b" >>\nstream\n" + data + b"\nendstream"


def raw_pdf(
    changed: Mapping[int, bytes] | None = None, trailer: bytes = b"", xref: bytes = b"", start: bytes = b""
) -> bytes:
    """Return a PDF of one page with some of its objects replaced or added.

    Args:
        changed: bodies by object number; empty for none of that number.
        trailer: further entries of the trailer.
        xref: cross-reference table and trailer instead of good ones.
        start: what startxref says instead of the truth.
    """
    objects = {1: CATALOG, 2: PAGES, 3: page(), 4: stream(TEXT), 5: FONT, **(changed or {})}
    out = bytearray(b"%PDF-1.7\n")
    offsets: dict[int, int] = {}
    for number, body in objects.items():
        if body:
            offsets[number] = len(out)
            out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    at = len(out)
    size = max(objects) + 1
    if not xref:
        rows = [b"%010d 00000 n \n" % offsets[n] if n in offsets else b"0000000000 65535 f \n" for n in range(size)]
        xref = b"xref\n0 %d\n%strailer\n<< /Size %d /Root 1 0 R %s >>\n" % (size, b"".join(rows), size, trailer)
    return bytes(out) + xref + b"startxref\n" + (start or str(at).encode()) + b"\n%%EOF\n"
