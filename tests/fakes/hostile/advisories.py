"""PDFs after the published advisories of pypdf: what each of them warns of, and the document here that has it.

Their texts are in the GitHub Advisory Database, github.com/py-pdf/pypdf/security/advisories.
"""

from __future__ import annotations

import zlib

from tests.fakes.hostile.rawpdf import CATALOG, TEXT, raw_pdf, stream

ADVISORIES = {
    "CVE-2022-24859": "pdf-picture-inline-never-ends",
    "CVE-2023-36464": "pdf-comment-never-ends",
    "CVE-2023-36810": "pdf-xref-none",
    "CVE-2025-55197": "pdf-filters-stacked",
    "CVE-2025-62707": "pdf-picture-inline-jpeg-never-ends",
    "CVE-2025-62708": "pdf-lzw-bomb",
    "CVE-2026-22690": "pdf-root-missing-size-huge",
    "CVE-2026-22691": "pdf-xref-among-blanks",
    "CVE-2026-24688": "pdf-outline-cycle",
    "CVE-2026-27024": "pdf-outline-cycle",
    "CVE-2026-27025": "pdf-font-map-ranges",
    "CVE-2026-27026": "pdf-flate-broken-long",
    "CVE-2026-27628": "pdf-xref-prev-itself",
    "CVE-2026-27888": "pdf-form-data-bomb",
    "CVE-2026-28351": "pdf-runlength-bomb",
    "CVE-2026-28804": "pdf-hex-never-ends",
    "CVE-2026-31826": "pdf-length-huge",
    "CVE-2026-33123": "pdf-contents-thousands",
    "CVE-2026-33699": "pdf-dictionary-never-ends",
    "CVE-2026-40260": "pdf-metadata-laughs",
    "CVE-2026-48735": "pdf-metadata-bomb",
}
"""Advisory → the document that does what it tells of."""


def advisory_pdfs() -> dict[str, tuple[str, bytes]]:
    """Return those that are nowhere else: name → file name and bytes."""
    bomb = stream(zlib.compress(b" " * (100 << 20), 9), b"/Filter /FlateDecode")
    broken = bytearray(zlib.compress(bytes(range(256)) * 20_000, 0))
    broken[2] ^= 0xFF
    found = {
        "comment-never-ends": raw_pdf({4: stream(TEXT + b" %")}),
        "root-missing-size-huge": raw_pdf(xref=b"xref\n0 1\n0000000000 65535 f \ntrailer\n<< /Size 99999999 >>\n"),
        "xref-among-blanks": raw_pdf(xref=b" \n" * 500_000, start=b"7"),
        "flate-broken-long": raw_pdf({4: stream(bytes(broken), b"/Filter /FlateDecode")}),
        "form-data-bomb": raw_pdf({1: CATALOG[:-2] + b"/AcroForm << /Fields [] /XFA [(a) 6 0 R] >> >>", 6: bomb}),
        "contents-thousands": raw_pdf({4: b"[" + b"6 0 R " * 50_000 + b"]", 6: stream(TEXT * 40)}),
        "dictionary-never-ends": raw_pdf({4: b"<< /Length 9 /A"}),
        "metadata-bomb": raw_pdf({1: CATALOG[:-2] + b"/Metadata 6 0 R >>", 6: bomb}),
    }
    return {f"pdf-{name}": ("a.pdf", data) for name, data in found.items()}
