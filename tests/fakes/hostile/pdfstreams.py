"""PDFs whose streams blow up, lie or never end."""

from __future__ import annotations

import zlib
from functools import cache

from tests.fakes.hostile.rawpdf import CATALOG, TEXT, page, raw_pdf, stream

_FLATE = b"/Filter /FlateDecode"


def stream_pdfs() -> dict[str, tuple[str, bytes]]:
    """Return them: name → file name and bytes."""
    found = {**_packed(), **_pictures(), **_fonts(), **_operators()}
    return {f"pdf-{name}": ("a.pdf", data) for name, data in found.items()}


@cache
def _zeros(mebibytes: int) -> bytes:
    packer = zlib.compressobj(9)
    block = b" " * (1 << 20)
    return b"".join(packer.compress(block) for _ in range(mebibytes)) + packer.flush()


def _nested(data: bytes, times: int) -> bytes:
    for _ in range(times):
        data = zlib.compress(data, 9)
    return data


def _content(data: bytes, entries: bytes = b"") -> bytes:
    return raw_pdf({4: stream(data, entries)})


def _packed() -> dict[str, bytes]:
    flates = b"/FlateDecode " * 40
    parms = b"/Filter /FlateDecode /DecodeParms << /Predictor %s /Columns %s /Colors %s /BitsPerComponent %s >>"
    packed = zlib.compress(TEXT)
    return {
        "bomb": _content(_zeros(200), _FLATE),
        "bomb-in-a-bomb": _content(_nested(_zeros(200), 2), b"/Filter [/FlateDecode /FlateDecode /FlateDecode]"),
        "bombs-in-every-content": raw_pdf({4: b"[" + b"6 0 R " * 40 + b"]", 6: stream(_zeros(20), _FLATE)}),
        "filters-stacked": _content(_nested(TEXT, 40), b"/Filter [" + flates + b"]"),
        "filters-thousands": _content(TEXT, b"/Filter [" + b"/ASCIIHexDecode " * 5_000 + b"]"),
        "filter-unknown": _content(TEXT, b"/Filter /Nothing"),
        "filter-loop": raw_pdf({4: stream(TEXT, b"/Filter 6 0 R"), 6: b"[6 0 R]"}),
        "crypt-filter": _content(TEXT, b"/Filter /Crypt /DecodeParms << /Name /X >>"),
        "runlength-bomb": _content(b"\x81 " * 300_000, b"/Filter /RunLengthDecode"),
        "runlength-cut": _content(b"\x7f", b"/Filter /RunLengthDecode"),
        "lzw-noise": _content(bytes(range(256)) * 400, b"/Filter /LZWDecode"),
        "lzw-bomb": _content(b"\x80\x0b\x60\x50" + b"\xff" * 100_000, b"/Filter /LZWDecode"),
        "ascii85-endless": _content(b"z" * 400_000, b"/Filter /ASCII85Decode"),
        "hex-never-ends": _content(b"4" * 500_001, b"/Filter /ASCIIHexDecode"),
        "flate-cut": _content(packed[: len(packed) // 2], _FLATE),
        "flate-noise": _content(b"x\x9c" + bytes(range(256)) * 99, _FLATE),
        "predictor-columns": _content(packed, parms % (b"15", b"2147483647", b"4", b"16")),
        "predictor-colors": _content(packed, parms % (b"2", b"1", b"2147483647", b"16")),
        "predictor-zero": _content(packed, parms % (b"12", b"0", b"0", b"0")),
        "length-small": raw_pdf({4: stream(TEXT, length=b"3")}),
        "length-huge": raw_pdf({4: stream(TEXT, length=b"99999999999")}),
        "length-negative": raw_pdf({4: stream(TEXT, length=b"-7")}),
        "length-missing": raw_pdf({4: stream(TEXT, length=b"(none)")}),
    }


def _pictures() -> dict[str, bytes]:
    shown = page(resources=b"/XObject << /I 6 0 R >> /Font << /F 5 0 R >>")
    kinds = {
        "jpeg": b"/DCTDecode",
        "jpeg2000": b"/JPXDecode",
        "jbig2": b"/JBIG2Decode",
        "fax": b"/CCITTFaxDecode",
        "flate": b"/FlateDecode",
    }
    entries = b"/Type /XObject /Subtype /Image /Width %d /Height %d /BitsPerComponent 8 /ColorSpace /RGB /Filter %s"
    found = {
        f"picture-{name}-huge": raw_pdf(
            {
                3: shown,
                4: stream(b"q 9 0 0 9 0 0 cm /I Do Q " + TEXT),
                6: stream(b"\xff\xd8\xff\xe0" + b"\0" * 99, entries % (2_000_000_000, 2_000_000_000, kind)),
            }
        )
        for name, kind in kinds.items()
    }
    inline = b"BI /W 9999999 /H 9999999 /BPC 8 /CS /RGB %s ID " + b"\xff" * 1_000
    return {
        **found,
        "picture-inline-never-ends": _content(inline % b""),
        "picture-inline-jpeg-never-ends": _content(inline % b"/F /DCT"),
        "picture-inline-hex-never-ends": _content(b"BI /W 1 /H 1 /F /AHx ID " + b"41" * 5_000),
        "picture-masks-itself": raw_pdf(
            {3: shown, 4: stream(b"/I Do"), 6: stream(b"\0", entries % (1, 1, b"[]") + b" /SMask 6 0 R")}
        ),
        "page-huge": raw_pdf({3: page().replace(b"[0 0 595 842]", b"[-1e38 -1e38 1e38 1e38]")}),
        "page-no-number": raw_pdf({3: page().replace(b"[0 0 595 842]", b"[(a) /b null nan]")}),
        "page-unit-huge": raw_pdf({3: page(b"/UserUnit 1e30 /Rotate 2147483647")}),
        "metadata-laughs": raw_pdf(
            {
                1: CATALOG[:-2] + b"/Metadata 6 0 R >>",
                6: stream(b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><a>&b;</a>'),
            }
        ),
    }


def _fonts() -> dict[str, bytes]:
    mapped = b"/ToUnicode 6 0 R >>"
    font = b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica "
    ranges = b"100 beginbfrange\n" + b"<0000> <FFFF> <0041>\n" * 3_000 + b"endbfrange"
    long = b"1 beginbfchar\n<41> <" + b"0041" * 9_000 + b">\nendbfchar"
    return {
        "font-map-ranges": raw_pdf({5: font + mapped, 6: stream(ranges)}),
        "font-map-long": raw_pdf({5: font + mapped, 6: stream(long), 4: stream(b"BT /F 9 Tf (AAAAAAAA) Tj ET")}),
        "font-map-itself": raw_pdf({5: font + mapped, 6: stream(b"/6 usecmap", b"/UseCMap 6 0 R")}),
        "font-map-never-ends": raw_pdf({5: font + mapped, 6: stream(b"beginbfrange <00 <00> [" + b"<" * 100_000)}),
        "font-widths-many": raw_pdf(
            {5: font + b"/FirstChar -9 /LastChar 9999999 /Widths [" + b"1 " * 400_000 + b"] >>"}
        ),
        "font-names-many": raw_pdf({5: font + b"/Encoding << /Differences [0 " + b"/A " * 500_000 + b"] >> >>"}),
        "font-program-noise": raw_pdf(
            {5: font + b"/FontDescriptor << /Flags 4 /FontFile2 6 0 R >> >>", 6: stream(b"\0\1\0\0" + b"\xff" * 9_999)}
        ),
    }


def _operators() -> dict[str, bytes]:
    return {
        "states-never-restored": _content(b"q " * 500_000),
        "texts-never-ended": _content(b"BT " * 500_000),
        "operands-many": _content(b"1 " * 200_000 + b"Tj"),
        "arrays-in-content": _content(b"[" * 200_000),
        "marks-deep": _content(b"/A << /B << " * 100_000 + b"BDC"),
        "strings-many": _content(b"BT /F 9 Tf " + b"(x) Tj " * 6_000 + b"ET"),
        "string-long": _content(b"BT /F 9 Tf (" + b"x " * 40_000 + b") Tj ET"),
        "matrix-infinite": _content(b"1e38 1e38 1e38 1e38 1e38 1e38 cm BT /F 1e38 Tf 1e38 0 0 1e38 0 0 Tm (x) Tj ET"),
        "matrix-flat": _content(b"BT /F 12 Tf 0 0 0 0 0 0 Tm (Nothing) Tj ET"),
        "numbers-wrong": _content(b"BT /F --12..5 Tf +-7 1e 700 Td (x) Tj ET"),
        "lines-many": _content(b"0 0 m 9 9 l S " * 100_000 + TEXT),
    }
