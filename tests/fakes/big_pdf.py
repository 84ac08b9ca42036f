"""PDFs of any number of pages, written byte by byte: making them takes no time worth speaking of."""

from __future__ import annotations

from collections.abc import Callable


def big_pdf(pages: int, lines: int = 3, text: Callable[[int, int], str] | None = None) -> bytes:
    """Return a PDF with so many pages of so many lines of 10 points, a running head and page numbers.

    Args:
        text: gives a line by its page and place, both from 0; ASCII without brackets and backslashes.
    """
    line = text or (lambda page, place: f"Page {page} says in line {place} that pump {page * 7 + place} is oiled.")
    out = bytearray(b"%PDF-1.4\n")
    offsets: list[int] = []

    def add(body: bytes) -> int:
        offsets.append(len(out))
        out.extend(b"%d 0 obj\n%s\nendobj\n" % (len(offsets), body))
        return len(offsets)

    def tree(count: int) -> bytes:
        kids = b" ".join(b"%d 0 R" % (4 + 2 * page) for page in range(count))
        return b"<< /Type /Pages /Count %d /Kids [%s] >>" % (count, kids)

    add(b"<< /Type /Catalog /Pages 2 0 R >>")
    add(tree(pages))
    add(b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>")
    for page in range(pages):
        shown = b" T* ".join(b"(%s) Tj" % line(page, place).encode() for place in range(lines))
        edges = b"BT /F 8 Tf 72 810 Td (Pump manual) Tj 200 -790 Td (%d) Tj ET " % (page + 1)
        stream = edges + b"BT /F 10 Tf 12 TL 72 700 Td %s ET" % shown
        add(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Resources << /Font << /F 3 0 R >> >>"
            b" /Contents %d 0 R >>" % (5 + 2 * page)
        )
        add(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream))
    start = len(out)
    out.extend(b"xref\n0 %d\n0000000000 65535 f \n" % (len(offsets) + 1))
    out.extend(b"".join(b"%010d 00000 n \n" % offset for offset in offsets))
    out.extend(b"trailer << /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(offsets) + 1, start))
    return bytes(out)
