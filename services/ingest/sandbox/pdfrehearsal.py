"""Reading a PDF of our own, so that what PDFium and the layout set up for the first one is there for all others."""

from __future__ import annotations

from services.ingest.core.layout.assemble import assemble
from services.ingest.sandbox.pdfium import PdfiumDocument

_FONTS = (b"Helvetica", b"Helvetica-Bold", b"Times-Roman", b"Times-Bold", b"Courier")
_STREAM = b" ".join(
    b"BT /F%d 10 Tf 60 %d Td (%s stands here, and so does its well-known line.) Tj ET" % (n, 700 - 40 * n, font)
    for n, font in enumerate(_FONTS)
)
_OBJECTS = (
    b"<< /Type /Catalog /Pages 2 0 R >>",
    b"<< /Type /Pages /Count 1 /Kids [3 0 R] >>",
    b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Resources << /Font << %s >> >> /Contents 4 0 R >>"
    % b" ".join(b"/F%d << /Type /Font /Subtype /Type1 /BaseFont /%s >>" % found for found in enumerate(_FONTS)),
    b"<< /Length %d >>\nstream\n%s\nendstream" % (len(_STREAM), _STREAM),
)


def rehearse() -> None:
    """Read a page in the usual fonts: PDFium then knows the machine's fonts."""
    objects = b"".join(b"%d 0 obj\n%s\nendobj\n" % (n, body) for n, body in enumerate(_OBJECTS, 1))
    document = PdfiumDocument(b"%PDF-1.4\n" + objects + b"trailer << /Size 5 /Root 1 0 R >>\n%%EOF\n")
    assemble([document.page(0)[0]])
    document.close()
