"""HTML documents."""

from __future__ import annotations

import codecs
import re
from pathlib import Path
from typing import Any

import lxml
from lxml import etree

from services.common.errors import Exhausted, InvalidArgument
from services.ingest.core.extraction import Extraction, corrupt, no_text
from services.ingest.core.normal import clean, one_line
from services.ingest.core.writer import DocumentWriter, Segment, check_length
from services.ingest.sandbox.htmlwalk import HtmlWalk, name_of
from services.ingest.sandbox.job import Progress
from services.ingest.sandbox.plaintext import not_utf8

NAME = f"lxml {lxml.__version__}"
_CHARSET = re.compile(rb"""<meta[^>]{0,200}?charset\s*=\s*["']?\s*([A-Za-z0-9_.:-]{1,40})""", re.IGNORECASE)
_XML = re.compile(rb"""^\s*<\?xml[^>]{0,200}?encoding\s*=\s*["']([A-Za-z0-9_.:-]{1,40})""")
_TAG = re.compile(r"<(?:!doctype|!--|\?xml|/?[a-z][a-z0-9]*[\s/>])", re.IGNORECASE)
_HEAD = 4096
_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))


def read_html(path: Path, progress: Progress) -> Extraction:
    """Return the text of an HTML document as Markdown; nothing that it refers to is fetched.

    Raises:
        InvalidArgument: NOT_UTF8 for another encoding than it declares, CORRUPT_DOCUMENT, or NO_TEXT.
        Exhausted: EXTRACTION_LIMIT.
    """
    check_length(path.stat().st_size // 4)
    text = html_text(path.read_bytes())
    if not _TAG.search(text):
        raise corrupt("has no HTML in it")
    progress("extract", 0, 1, "files")
    writer = DocumentWriter()
    walk = HtmlWalk(writer)
    write_html(walk, writer, text)
    if not walk.written:
        writer = DocumentWriter()
        walk = HtmlWalk(writer, whole=True)
        write_html(walk, writer, text)
    if not walk.written:
        raise no_text("has no text in its HTML")
    progress("extract", 1, 1, "files")
    dropped = dict(walk.dropped)
    return Extraction(writer.document(), NAME, 0, "blocks", walk.written + sum(dropped.values()), walk.written, dropped)


def write_html(walk: HtmlWalk, writer: DocumentWriter, text: str) -> None:
    """Write a document's body; its title stands above a body without a heading of the first level."""
    root = parsed_html(text)
    body = next((n for n in root.iter() if isinstance(n.tag, str) and name_of(n) == "body"), root)
    title = next((n for n in root.iter() if isinstance(n.tag, str) and name_of(n) == "title"), None)
    words = one_line(clean(title.text or "")) if title is not None else ""
    if words and not any(isinstance(n.tag, str) and name_of(n) == "h1" for n in body.iter()):
        writer.heading(1, [Segment(words)])
    walk.walk(body)


def parsed_html(text: str) -> Any:
    """Return the root of HTML, or of XHTML where it is well-formed.

    Raises:
        Exhausted: EXTRACTION_LIMIT: it is nested too deeply, or has a text of more than 10 million characters in a row.
        InvalidArgument: CORRUPT_DOCUMENT: there is no element in it.
    """
    data = text.encode()
    if text.lstrip().startswith("<?xml") or "http://www.w3.org/1999/xhtml" in text[:_HEAD]:
        try:
            root = etree.fromstring(data, _xml_parser())
            if next(root.iter(etree.Entity), None) is None:
                return root  # else it names characters of HTML, which only HTML's parser knows
        except etree.XMLSyntaxError:
            pass
    parser = etree.HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True, no_network=True)
    try:
        root = etree.fromstring(data, parser)
    except etree.XMLSyntaxError as error:
        raise corrupt("has no HTML in it") from error
    if root is None:
        raise corrupt("has no HTML in it")
    for entry in parser.error_log:
        if entry.type_name == "ERR_RESOURCE_LIMIT":
            raise Exhausted(
                "The HTML is nested too deeply, or has too long a text in one piece. Split or simplify the document.",
                reason="EXTRACTION_LIMIT",
            )
    return root


def _xml_parser() -> etree.XMLParser:
    return etree.XMLParser(
        encoding="utf-8", resolve_entities=False, no_network=True, load_dtd=False, remove_comments=True, remove_pis=True
    )


def html_text(data: bytes) -> str:
    """Return the bytes as text, by the byte-order mark, else as it declares, else as UTF-8.

    Raises:
        InvalidArgument: NOT_UTF8: it is not in the encoding that it declares, or that is not known.
    """
    for mark, name in (
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
    ):
        if data.startswith(mark):
            return _decoded(data[len(mark) :], name)
    found = _XML.search(data[:_HEAD]) or _CHARSET.search(data[:_HEAD])
    declared = found[1].decode("ascii") if found else "utf-8"
    try:
        return _decoded(data, "utf-8")
    except InvalidArgument:
        # Browsers read latin-1 as its extension by Windows.
        name = {"iso-8859-1": "cp1252", "latin-1": "cp1252", "us-ascii": "cp1252"}.get(declared.lower(), declared)
        return _decoded(data, name)


def _decoded(data: bytes, name: str) -> str:
    try:
        return data.decode(name)
    except LookupError as error:
        raise not_utf8(f"declares the encoding {name!r}, which is not known", 0) from error
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise not_utf8(f"has the byte 0x{data[error.start]:02x} in line {line}", error.start) from error
