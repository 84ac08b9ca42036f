"""PDFs of single lines, set in many ways, written by their operators."""

from __future__ import annotations

FONTS = ("Helvetica", "Helvetica-Bold", "Courier", "Times-Roman")
LINES = {
    "prose": "(The pump stands on the left bank of the river and is oiled.) Tj",
    "a gap that divides": "[(The pump stands on the left bank) -1500 (and is oiled.)] TJ",
    "two columns of equal words": "[(pump) -2000 (bank) -2000 (well) -2000 (lock)] TJ",
    "wide gaps and narrow ones by turns": "[(a b) -1400 (c d) -1400 (e f) -1400 (g h) -1400 (i j)] TJ",
    "a justified line": "2.2 Tw (The pump stands on the left bank of the river and is oiled.) Tj",
    "a gap in a justified line": "2 Tw [(The pump stands on the left bank) -900 ( of the river, oiled daily.)] TJ",
    "spaced letters": "4 Tc (The pump stands) Tj",
    "letters far apart": "14 Tc (The pump stands) Tj",
    "condensed": "60 Tz (The pump stands on the left bank of the river.) Tj",
    "kerned": "[(T) 80 (he pum) 20 (p stands on t) 15 (he left bank of the rive) 40 (r.)] TJ",
    "a raised note": "(The pump) Tj /F3 6 Tf 4 Ts (12) Tj 0 Ts /F3 10 Tf ( stands.) Tj",
    "a bold word": "(The ) Tj /F1 10 Tf (pump) Tj /F3 10 Tf ( stands, ) Tj /F2 10 Tf (oil) Tj /F3 10 Tf (, too.) Tj",
    "many spaces": "(The      pump          stands) Tj",
    "spaces at the ends": "(   The pump stands   ) Tj",
    "back over itself": "[(The pump) 9000 (stands)] TJ",
    "a hyphen within": "(The pump-house of the well-known mill - a ruin) Tj",
    "code": "/F2 9 Tf (if \\(pump\\) { oil\\(\\); }   /* daily */) Tj",
    "one letter": "(A) Tj",
    "upside down": "-1 0 0 -1 400 500 Tm (The pump stands) Tj",
    "up the page": "0 1 -1 0 400 300 Tm (The pump stands) Tj",
}


def pages_of(*shown: str) -> bytes:
    """Return a PDF with a page for each line, with another one below it."""
    fonts = b" ".join(
        b"/F%d << /Type /Font /Subtype /Type1 /BaseFont /%s >>" % (n, f.encode()) for n, f in enumerate(FONTS)
    )
    kids = b" ".join(b"%d 0 R" % (3 + 2 * n) for n in range(len(shown)))
    bodies = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Count %d /Kids [%s] >>" % (len(shown), kids),
    ]
    for n, line in enumerate(shown):
        stream = b"BT /F3 10 Tf 14 TL 72 700 Td %s T* 0 Tc 0 Tw 100 Tz (It is dry.) Tj ET" % line.encode()
        bodies += [
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Resources << /Font << %s >> >> /Contents %d 0 R >>"
            % (fonts, 4 + 2 * n),
            b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream),
        ]
    objects = b"".join(b"%d 0 obj\n%s\nendobj\n" % (n, body) for n, body in enumerate(bodies, 1))
    return b"%PDF-1.4\n" + objects + b"trailer << /Size %d /Root 1 0 R >>\n%%%%EOF\n" % (len(bodies) + 1)
