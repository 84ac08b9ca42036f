"""PDFs whose objects loop, lie, nest or are missing."""

from __future__ import annotations

import random

from tests.fakes.documents import PROSE, pdf
from tests.fakes.hostile.rawpdf import CATALOG, PAGES, page, raw_pdf, stream

_HUGE = b"2147483647"


def object_pdfs() -> dict[str, tuple[str, bytes]]:
    """Return them: name → file name and bytes."""
    found = {**_trees(), **_loops(), **_nested(), **_xrefs(), **_broken(), **_security()}
    return {f"pdf-{name}": ("a.pdf", data) for name, data in found.items()}


def _trees() -> dict[str, bytes]:
    doubled = {n: b"<< /Type /Pages /Count 1073741824 /Kids [%d 0 R %d 0 R] >>" % (n + 1, n + 1) for n in range(10, 40)}
    chain = {n: b"<< /Type /Pages /Count 1 /Kids [%d 0 R] >>" % (n + 1) for n in range(10, 3_000)}
    return {
        "tree-own-child": raw_pdf({2: b"<< /Type /Pages /Count 1 /Kids [2 0 R] >>"}),
        "tree-cycle": raw_pdf(
            {
                2: b"<< /Type /Pages /Count 2 /Kids [3 0 R 6 0 R] >>",
                6: b"<< /Type /Pages /Parent 2 0 R /Count 1 /Kids [2 0 R] >>",
            }
        ),
        "tree-parent-cycle": raw_pdf({2: b"<< /Type /Pages /Count 1 /Kids [3 0 R] /Parent 2 0 R >>"}),
        "tree-doubling": raw_pdf({2: b"<< /Type /Pages /Count 2147483646 /Kids [10 0 R] >>", **doubled, 40: page()}),
        "tree-deep": raw_pdf({2: b"<< /Type /Pages /Count 1 /Kids [10 0 R] >>", **chain, 3_000: page()}),
        "tree-count-huge": raw_pdf({2: b"<< /Type /Pages /Count " + _HUGE + b" /Kids [3 0 R] >>"}),
        "tree-count-negative": raw_pdf({2: b"<< /Type /Pages /Count -5 /Kids [3 0 R] >>"}),
        "tree-same-page-often": raw_pdf({2: b"<< /Type /Pages /Count 3000 /Kids [" + b"3 0 R " * 3_000 + b"] >>"}),
        "tree-kids-null": raw_pdf({2: b"<< /Type /Pages /Count 3 /Kids [null 99 0 R (x)] >>"}),
        "tree-missing": raw_pdf({2: b""}),
        "root-missing": raw_pdf({1: b""}),
        "root-is-itself": raw_pdf({1: b"1 0 R"}),
        "root-is-a-number": raw_pdf({1: b"7"}),
    }


def _loops() -> dict[str, bytes]:
    form = b"/Type /XObject /Subtype /Form /BBox [0 0 9 9] /Resources << /XObject << /X %d 0 R >> >>"
    laughs = {n: stream(b"/X Do " * 10, form % (n + 1)) for n in range(10, 15)}
    with_form = page(resources=b"/XObject << /X 10 0 R >> /Font << /F 5 0 R >>")
    return {
        "contents-loop": raw_pdf({4: b"6 0 R", 6: b"4 0 R"}),
        "contents-array-loop": raw_pdf({4: b"[4 0 R 4 0 R]"}),
        "length-loop": raw_pdf({4: stream(b"BT ET", length=b"4 0 R")}),
        "form-draws-itself": raw_pdf({3: with_form, 4: stream(b"/X Do"), 10: stream(b"/X Do", form % 10)}),
        "forms-draw-each-other": raw_pdf(
            {3: with_form, 4: stream(b"/X Do"), 10: stream(b"/X Do", form % 11), 11: stream(b"/X Do", form % 10)}
        ),
        "forms-billion-laughs": raw_pdf({3: with_form, 4: stream(b"/X Do"), **laughs, 15: stream(b"0 0 m", form % 1)}),
        "outline-cycle": raw_pdf(
            {
                1: CATALOG[:-2] + b"/Outlines 6 0 R >>",
                6: b"<< /Type /Outlines /First 7 0 R /Last 7 0 R /Count 1 >>",
                7: b"<< /Title (x) /Parent 6 0 R /Next 7 0 R /First 7 0 R >>",
            }
        ),
        "annotation-loop": raw_pdf({3: page(b"/Annots [6 0 R]"), 6: b"<< /Subtype /Popup /Parent 6 0 R /IRT 6 0 R >>"}),
        "labels-loop": raw_pdf({1: CATALOG[:-2] + b"/PageLabels 6 0 R >>", 6: b"<< /Kids [6 0 R] >>"}),
        "names-loop": raw_pdf({1: CATALOG[:-2] + b"/Names << /Dests 6 0 R >> >>", 6: b"<< /Kids [6 0 R 6 0 R] >>"}),
        "fields-loop": raw_pdf({1: CATALOG[:-2] + b"/AcroForm << /Fields [6 0 R] >> >>", 6: b"<< /Kids [6 0 R] >>"}),
        "resources-loop": raw_pdf({3: page(resources=b"/Font 6 0 R"), 6: b"<< /F 6 0 R >>"}),
        "font-its-own-descendant": raw_pdf({5: b"<< /Type /Font /Subtype /Type0 /DescendantFonts [5 0 R] >>"}),
        "font-encoding-loop": raw_pdf({5: b"<< /Type /Font /Subtype /Type1 /Encoding << /BaseEncoding 5 0 R >> >>"}),
        "type3-draws-itself": raw_pdf(
            {
                5: b"<< /Type /Font /Subtype /Type3 /FontBBox [0 0 9 9] /FontMatrix [1 0 0 1 0 0] /FirstChar 65"
                b" /LastChar 65 /Widths [9] /Encoding << /Differences [65 /A] >> /CharProcs << /A 6 0 R >>"
                b" /Resources << /Font << /F 5 0 R >> >> >>",
                4: stream(b"BT /F 9 Tf (AAAA) Tj ET"),
                6: stream(b"BT /F 9 Tf (AAAA) Tj ET"),
            }
        ),
    }


def _nested() -> dict[str, bytes]:
    deep = 60_000
    return {
        "arrays-deep": raw_pdf({6: b"[" * deep + b"]" * deep, 1: CATALOG[:-2] + b"/X 6 0 R >>"}),
        "arrays-never-closed": raw_pdf({4: b"[" * deep}),
        "dictionaries-deep": raw_pdf({1: CATALOG[:-2] + b"/X " + b"<< /X " * deep + b">> " * deep + b">>"}),
        "strings-deep": raw_pdf({1: CATALOG[:-2] + b"/X " + b"(" * deep + b")" * deep + b">>"}),
        "string-giant": raw_pdf({1: CATALOG[:-2] + b"/X (" + b"x" * 8_000_000 + b") >>"}),
        "name-giant": raw_pdf({1: CATALOG[:-2] + b"/" + b"x" * 3_000_000 + b" 1 >>"}),
        "number-giant": raw_pdf({2: PAGES.replace(b"/Count 1", b"/Count " + b"9" * 400_000)}),
        "comment-giant": b"%PDF-1.7\n%" + b"x" * 8_000_000 + raw_pdf(),
        "nuls": raw_pdf().replace(b" ", b"\0"),
        "objects-many": raw_pdf(dict.fromkeys(range(6, 60_000), b"null")),
    }


def _xrefs() -> dict[str, bytes]:
    table = b"xref\n0 1\n0000000000 65535 f \ntrailer\n<< /Size %s /Root 1 0 R %s >>\n"
    own = b"/Type /XRef /Size 6 /Root 1 0 R "
    packed = stream(b"5 0 1 0 " + CATALOG, b"/Type /ObjStm /N %s /First %s %s")
    return {
        "xref-none": raw_pdf(xref=b"\n"),
        "xref-outside": raw_pdf(start=b"99999999999"),
        "xref-negative": raw_pdf(start=b"-1"),
        "xref-zero": raw_pdf(start=b"0"),
        "xref-offsets-wrong": raw_pdf(xref=b"xref\n0 6\n" + b"0000000007 00000 n \n" * 6 + (table % (b"6", b""))[28:]),
        "xref-size-huge": raw_pdf(xref=table % (_HUGE, b"")),
        "xref-count-huge": raw_pdf(xref=b"xref\n0 2147483647\n0000000000 65535 f \ntrailer\n<< /Root 1 0 R >>\n"),
        "xref-prev-itself": raw_pdf(trailer=b"/Prev %d" % raw_pdf().rfind(b"xref\n0")),
        "xref-prev-far": raw_pdf(trailer=b"/Prev 123456789012345678901234567890"),
        "xref-stream-widths-huge": raw_pdf(
            xref=b"9 0 obj\n" + stream(b"\0" * 64, own + b"/W [2147483647 2147483647 1]") + b"\nendobj\n"
        ),
        "xref-stream-index-huge": raw_pdf(
            xref=b"9 0 obj\n" + stream(b"\0" * 64, own + b"/W [1 2 1] /Index [0 2147483647]") + b"\nendobj\n"
        ),
        "xref-stream-widths-negative": raw_pdf(
            xref=b"9 0 obj\n" + stream(b"\0" * 64, own + b"/W [-1 2 1]") + b"\nendobj\n"
        ),
        "objects-packed-count-huge": raw_pdf({1: b"", 6: packed % (_HUGE, b"8", b"")}),
        "objects-packed-first-huge": raw_pdf({1: b"", 6: packed % (b"1", _HUGE, b"")}),
        "objects-packed-extends-itself": raw_pdf({1: b"", 6: packed % (b"1", b"8", b"/Extends 6 0 R")}),
    }


def _broken() -> dict[str, bytes]:
    good = pdf(f"# Pump\n\n{PROSE}", PROSE)
    noise = random.Random(7)
    flipped = bytearray(good)
    for _ in range(200):
        flipped[noise.randrange(20, len(good))] = noise.randrange(256)
    return {
        **{f"cut-at-{share}": good[: len(good) * share // 100] for share in (1, 10, 25, 40, 60, 75, 90, 99)},
        "cut-before-its-last-byte": good[:-1],
        "header-alone": b"%PDF-1.7\n",
        "header-and-end": b"%PDF-1.7\n%%EOF\n",
        "noise": b"%PDF-1.7\n" + noise.randbytes(200_000),
        "flipped-bytes": bytes(flipped),
        "twice-in-one": good + good,
        "pieces-missing": good[: len(good) // 3] + good[len(good) // 2 :],
        "archive-inside": good[:30] + b"PK\x03\x04" + good[30:],
    }


def _security() -> dict[str, bytes]:
    handler = b"<< /Filter /%s /V %s /R %s /O (%s) /U (%s) /P -4 /Length %s >>"
    ids = b"/ID [<00> <00>] /Encrypt 9 0 R"
    key = b"x" * 32
    return {
        "cipher-unknown": raw_pdf({9: handler % (b"Nobody", b"9", b"9", key, key, b"128")}, ids),
        "cipher-lengths": raw_pdf({9: handler % (b"Standard", b"2", b"3", key, key, _HUGE)}, ids),
        "cipher-keys-short": raw_pdf({9: handler % (b"Standard", b"5", b"6", b"", b"", b"256")}, ids),
        "cipher-loop": raw_pdf({9: b"9 0 R"}, ids),
        "script-and-launch": raw_pdf(
            {1: CATALOG[:-2] + b"/OpenAction << /S /Launch /F (/bin/sh) /Next << /S /JavaScript /JS (x) >> >> >>"}
        ),
    }
