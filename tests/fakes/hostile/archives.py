"""Office documents and books whose archive or XML is made to harm."""

from __future__ import annotations

import io
import random
import struct
import zipfile
from collections.abc import Mapping

from tests.fakes.documents import PROSE, docx_file, zip_bomb_docx

_W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
_SHEET = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_TYPES = '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>'
_DOCUMENT = "word/document.xml"


def archives(secret: str) -> dict[str, tuple[str, bytes]]:
    """Return them: name → file name and bytes. secret: path of a file that they try to read."""
    words = {**_archives(), **_xml(secret), **_parts()}
    found = {f"docx-{name}": ("a.docx", data) for name, data in words.items()}
    return {**found, **_others(secret)}


def _repacked(changed: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Return a good Word document with some of its parts replaced or added."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(docx_file(PROSE))) as good, zipfile.ZipFile(out, "w", method) as bad:
        for name in good.namelist():
            if name not in changed:
                bad.writestr(name, good.read(name))
        for name, data in changed.items():
            bad.writestr(name, data)
    return out.getvalue()


def _linked() -> bytes:
    out = io.BytesIO(docx_file(PROSE))
    link = zipfile.ZipInfo("word/media/link.xml")
    link.create_system, link.external_attr = 3, 0o120777 << 16
    with zipfile.ZipFile(out, "a") as archive:
        archive.writestr(link, "/etc/passwd")
    return out.getvalue()


def _lying(size: int) -> bytes:
    """Return a Word document whose directory says another unpacked size of each part."""
    data = bytearray(docx_file(PROSE))
    place = data.find(b"PK\x01\x02")
    while place >= 0:
        struct.pack_into("<I", data, place + 24, size)
        place = data.find(b"PK\x01\x02", place + 4)
    return bytes(data)


def _archives() -> dict[str, bytes]:
    good = docx_file(PROSE)
    noise = random.Random(3)
    method = bytearray(good)
    struct.pack_into("<H", method, method.find(b"PK\x01\x02") + 10, 99)
    flags = bytearray(good)
    struct.pack_into("<H", flags, flags.find(b"PK\x01\x02") + 8, 1)
    return {
        **{f"cut-at-{share}": good[: len(good) * share // 100] for share in (5, 30, 60, 90, 99)},
        "noise": b"PK\x03\x04" + noise.randbytes(50_000),
        "bomb": zip_bomb_docx(520),
        "bomb-below-the-ratio": _repacked({_DOCUMENT: noise.randbytes(1 << 20) + b" " * (100 << 20)}),
        "archive-in-archive": _repacked({_DOCUMENT: zip_bomb_docx(8)}),
        "parts-many": _repacked({f"word/media/{n}": b"" for n in range(12_000)}),
        "sizes-small": _lying(1),
        "sizes-huge": _lying(0xFFFFFFF0),
        "path-up": _repacked({"../../../../tmp/evil.xml": b"<a/>", "word/../../evil": b"x"}),
        "path-absolute": _repacked({"/etc/cron.d/evil": b"x"}),
        "link": _linked(),
        "method-unknown": bytes(method),
        "flag-encrypted": bytes(flags),
        "directory-noise": good[: good.find(b"PK\x01\x02")] + noise.randbytes(300) + good[-22:],
        "document-missing": _repacked({_DOCUMENT: b""}),
        "types-empty": _repacked({"[Content_Types].xml": _TYPES.encode()}),
        "types-broken": _repacked({"[Content_Types].xml": b"<Types"}),
        "named-by-itself": b"PK\x05\x06" + b"\0" * 18,
    }


def _document(body: str, head: str = "") -> bytes:
    return _repacked({_DOCUMENT: f"{head}<w:document {_W}><w:body>{body}</w:body></w:document>".encode()})


def _said(text: str, head: str = "") -> bytes:
    return _document(f"<w:p><w:r><w:t>{text}</w:t></w:r></w:p>", head)


def _xml(secret: str) -> dict[str, bytes]:
    laughs = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    large = "x" * 100_000
    return {
        "xml-laughs": _said("&l9;", f'<!DOCTYPE d [<!ENTITY l0 "lol">{laughs}]>'),
        "xml-quadratic": _said("&a;" * 20_000, f'<!DOCTYPE d [<!ENTITY a "{large}">]>'),
        "xml-entity-loop": _said("&a;", '<!DOCTYPE d [<!ENTITY a "&b;"><!ENTITY b "&a;">]>'),
        "xml-external-entity": _said("&a;", f'<!DOCTYPE d [<!ENTITY a SYSTEM "file://{secret}">]>'),
        "xml-external-dtd": _said("x", '<!DOCTYPE d SYSTEM "http://127.0.0.1:9/evil.dtd">'),
        "xml-parameter-entity": _said("x", f'<!DOCTYPE d [<!ENTITY % a SYSTEM "file://{secret}"> %a;]>'),
        "xml-include": _document(
            f'<x:include xmlns:x="http://www.w3.org/2001/XInclude" parse="text" href="{secret}"/>'
        ),
        "xml-deep": _document("<w:p>" * 60_000),
        "xml-deep-closed": _document("<w:sdt>" * 30_000 + "</w:sdt>" * 30_000),
        "xml-attributes-many": _document("<w:p " + " ".join(f'a{n}="1"' for n in range(60_000)) + "/>"),
        "xml-attribute-giant": _document(f'<w:p a="{large * 30}"/>'),
        "xml-nul": _repacked({_DOCUMENT: b"<w:document \0>"}),
        "xml-not-utf8": _repacked({_DOCUMENT: b'<?xml version="1.0" encoding="utf-16"?><a/>'}),
        "xml-encoding-unknown": _repacked({_DOCUMENT: b'<?xml version="1.0" encoding="x-evil"?><a/>'}),
        "xml-cut": _repacked({_DOCUMENT: f"<w:document {_W}><w:body><w:p><w:r><w:t>Half".encode()}),
        "xml-run-giant": _said(large * 60),
    }


def _parts() -> dict[str, bytes]:
    table = "<w:tbl><w:tr><w:tc>"
    return {
        "tables-deep": _document(table * 800 + "<w:p/>" + "</w:tc></w:tr></w:tbl>" * 800),
        "cells-spanning": _document(
            '<w:tbl><w:tr><w:tc><w:tcPr><w:gridSpan w:val="2000000000"/></w:tcPr><w:p/></w:tc></w:tr></w:tbl>'
        ),
        "styles-loop": _repacked(
            {
                "word/styles.xml": f'<w:styles {_W}><w:style w:type="paragraph" w:styleId="A"><w:basedOn w:val="A"/>'
                "</w:style></w:styles>".encode()
            }
        ),
        "relation-outside": _repacked(
            {
                "word/_rels/document.xml.rels": b'<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/'
                b'relationships"><Relationship Id="r1" Type="x" Target="../../../etc/passwd"/></Relationships>'
            }
        ),
    }


def _packed(parts: Mapping[str, str]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in parts.items():
            archive.writestr(name, text)
    return out.getvalue()


def _others(secret: str) -> dict[str, tuple[str, bytes]]:
    entity = f'<!DOCTYPE d [<!ENTITY a SYSTEM "file://{secret}">]>'
    laughs = '<!DOCTYPE d [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "' + "&a;" * 99 + '"><!ENTITY c "' + "&b;" * 99 + '">]>'
    types = {"[Content_Types].xml": _TYPES}
    far = f'<worksheet xmlns="{_SHEET}"><sheetData><row r="1048576"><c r="XFD1048576"><v>1</v></c></row></sheetData>'
    text = 'xmlns:t="urn:oasis:names:tc:opendocument:xmlns:table:1.0"'
    mime = {"mimetype": "application/vnd.oasis.opendocument.spreadsheet"}
    odt = {"mimetype": "application/vnd.oasis.opendocument.text"}
    repeated = f'<a {text}><t:table-row t:number-rows-repeated="2000000000"><t:table-cell ' + (
        't:number-columns-repeated="2000000000">x</t:table-cell></t:table-row></a>'
    )
    book = {"mimetype": "application/epub+zip", "META-INF/container.xml": '<c><rootfile full-path="../../x"/></c>'}
    return {
        "xlsx-far-cell": ("a.xlsx", _packed({**types, "xl/worksheets/sheet1.xml": far + "</worksheet>"})),
        "xlsx-laughs": ("a.xlsx", _packed({**types, "xl/sharedStrings.xml": laughs + "<sst>&c;</sst>"})),
        "xlsx-entity": ("a.xlsx", _packed({**types, "xl/workbook.xml": entity + "<workbook>&a;</workbook>"})),
        "xlsx-empty": ("a.xlsx", _packed(types)),
        "pptx-entity": ("a.pptx", _packed({**types, "ppt/slides/slide1.xml": entity + "<s>&a;</s>"})),
        "pptx-empty": ("a.pptx", _packed(types)),
        "ods-repeated": ("a.ods", _packed({**mime, "content.xml": repeated})),
        "odt-laughs": (
            "a.odt",
            _packed({**odt, "content.xml": laughs}),
        ),
        "epub-path-up": ("a.epub", _packed(book)),
        "epub-entity": ("a.epub", _packed({**book, "META-INF/container.xml": entity + "<c>&a;</c>"})),
        "docx-as-pdf": ("a.pdf", docx_file(PROSE)),
        "docx-ole": ("a.docx", bytes.fromhex("d0cf11e0a1b11ae1") + b"\0" * 4_000),
        "docx-is-text": ("a.docx", b"just text"),
    }
