"""EPUB books: the documents of the spine in reading order."""

from __future__ import annotations

import posixpath
import zipfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from lxml import etree

from services.ingest.core.extraction import Extraction, corrupt, encrypted, no_text
from services.ingest.core.writer import DocumentWriter
from services.ingest.sandbox.archive import check_archive
from services.ingest.sandbox.html import NAME, html_text, write_html
from services.ingest.sandbox.htmlwalk import HtmlWalk, name_of
from services.ingest.sandbox.job import Progress
from services.ingest.sandbox.xml import parsed_xml

_TEXTS = ("application/xhtml+xml", "text/html", "application/x-dtbook+xml")
# Fonts are often scrambled; that is no encryption of the text.
_FONTS = ("http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#RC")


@dataclass(frozen=True)
class _Part:
    name: str
    media_type: str
    contents: bool
    """Whether it is the table of contents."""


def read_epub(path: Path, progress: Progress) -> Extraction:
    """Return the text of an EPUB as Markdown.

    Raises:
        InvalidArgument: ENCRYPTED_DOCUMENT, CORRUPT_DOCUMENT or NO_TEXT.
        Exhausted: EXTRACTION_LIMIT: the archive would unpack to too much.
    """
    names = check_archive(path)
    writer = DocumentWriter()
    dropped: Counter[str] = Counter()
    written = 0
    try:
        with zipfile.ZipFile(path) as archive:
            _refuse_encrypted(archive, names)
            spine = _spine(archive)
            for number, part in enumerate(spine, start=1):
                if part.contents:
                    dropped["NAVIGATION"] += 1
                elif part.media_type not in _TEXTS:
                    dropped["IMAGE"] += 1
                elif part.name not in names:
                    raise corrupt(f"lacks {part.name[:80]!r}, which it names as a part of its text")
                else:
                    writer.apart()
                    walk = HtmlWalk(writer)
                    write_html(walk, writer, html_text(archive.read(part.name)))
                    written += walk.written
                    dropped.update(walk.dropped)
                progress("extract", number, len(spine), "parts")
    except (KeyError, zipfile.BadZipFile, etree.XMLSyntaxError, NotImplementedError, EOFError) as error:
        raise corrupt("is not a whole EPUB") from error
    if not written:
        raise no_text("has no text in its parts")
    return Extraction(writer.document(), NAME, 0, "blocks", written + dropped.total(), written, dict(dropped))


def _refuse_encrypted(archive: zipfile.ZipFile, names: frozenset[str]) -> None:
    if "META-INF/encryption.xml" not in names:
        return
    for node in parsed_xml(archive.read("META-INF/encryption.xml")).iter():
        if isinstance(node.tag, str) and name_of(node) == "encryptionmethod" and node.get("Algorithm") not in _FONTS:
            raise encrypted()


def _spine(archive: zipfile.ZipFile) -> Sequence[_Part]:
    """Return the parts of the book in reading order.

    Raises:
        KeyError: an entry that must be there is missing.
    """
    container = parsed_xml(archive.read("META-INF/container.xml"))
    root = next((n for n in container.iter("{*}rootfile") if n.get("full-path")), None)
    if root is None:
        raise corrupt("names no book")
    package_name = root.get("full-path", "")
    package = parsed_xml(archive.read(package_name))
    folder = posixpath.dirname(package_name)
    items: dict[str, _Part] = {}
    for item in package.iter("{*}item"):
        name = posixpath.normpath(posixpath.join(folder, unquote(item.get("href", "").partition("#")[0])))
        contents = "nav" in item.get("properties", "").split()
        items[item.get("id", "")] = _Part(name, item.get("media-type", ""), contents)
    return [items[ref.get("idref", "")] for ref in package.iter("{*}itemref") if ref.get("idref", "") in items]
