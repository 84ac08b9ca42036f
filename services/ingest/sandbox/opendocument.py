"""OpenDocument texts (ODT): headings, paragraphs, lists, tables, code, notes."""

from __future__ import annotations

import re
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import lxml

from services.ingest.core.extraction import Extraction, corrupt, encrypted, no_text
from services.ingest.core.normal import clean, fenced, markdown_table, one_line, squeezed
from services.ingest.core.writer import DocumentWriter, Segment
from services.ingest.sandbox.archive import check_archive
from services.ingest.sandbox.job import Progress
from services.ingest.sandbox.xml import parsed_xml

_OFFICE = "{urn:oasis:names:tc:opendocument:xmlns:office:1.0}"
_TEXT = "{urn:oasis:names:tc:opendocument:xmlns:text:1.0}"
_TABLE = "{urn:oasis:names:tc:opendocument:xmlns:table:1.0}"
_DRAW = "{urn:oasis:names:tc:opendocument:xmlns:drawing:1.0}"
_STYLE = "{urn:oasis:names:tc:opendocument:xmlns:style:1.0}"
_MANIFEST = "{urn:oasis:names:tc:opendocument:xmlns:manifest:1.0}"
_CODE = ("preformatted", "code", "source")
_MOST_REPEATED = 64
_GROUPS = {f"{_TEXT}section", f"{_TEXT}index-body", f"{_DRAW}frame", f"{_DRAW}text-box", f"{_DRAW}g"}
_INDEXES = {"table-of-content", "alphabetical-index", "illustration-index", "table-index", "object-index", "user-index"}


def read_opendocument(path: Path, progress: Progress) -> Extraction:
    """Return the text of an ODT as Markdown.

    Raises:
        InvalidArgument: ENCRYPTED_DOCUMENT, CORRUPT_DOCUMENT or NO_TEXT.
        Exhausted: EXTRACTION_LIMIT: the archive would unpack to too much.
    """
    names = check_archive(path)
    try:
        with zipfile.ZipFile(path) as archive:
            if "META-INF/manifest.xml" in names:
                manifest = parsed_xml(archive.read("META-INF/manifest.xml"))
                if next(manifest.iter(f"{_MANIFEST}encryption-data"), None) is not None:
                    raise encrypted()
            root = parsed_xml(archive.read("content.xml"))
    except (KeyError, zipfile.BadZipFile, NotImplementedError, EOFError) as error:
        raise corrupt("is not a whole OpenDocument text") from error
    body = root.find(f"{_OFFICE}body/{_OFFICE}text")
    if body is None:
        raise corrupt("is an OpenDocument, but no text")
    return _Reader(root, progress).read(body)


class _Reader:
    """Walks through one document."""

    def __init__(self, root: Any, progress: Progress) -> None:
        # Automatic styles are named P1, P2, …; what they are based on says what they are.
        styles = root.iter(f"{_STYLE}style")
        self._bases = {s.get(f"{_STYLE}name", ""): s.get(f"{_STYLE}parent-style-name", "") for s in styles}
        self._progress = progress
        self._writer = DocumentWriter()
        self._dropped: Counter[str] = Counter()
        self._notes: list[str] = []
        self._code: list[str] = []
        self._written = 0

    def read(self, body: Any) -> Extraction:
        """Return the whole text."""
        top = list(body)
        for number, node in enumerate(top, start=1):
            self._block(node)
            self._progress("extract", number, len(top), "paragraphs")
        self._flush()
        for note in self._notes:
            self._put("paragraph", note)
        if not self._written:
            raise no_text("has no text")
        return Extraction(
            document=self._writer.document(),
            extractor=f"lxml {lxml.__version__}",
            pages=0,
            stage="paragraphs",
            came=self._written + self._dropped.total(),
            went=self._written,
            dropped=dict(self._dropped),
        )

    def _block(self, node: Any) -> None:
        tag = node.tag if isinstance(node.tag, str) else ""
        if tag == f"{_TEXT}h":
            self._flush()
            level = node.get(f"{_TEXT}outline-level", "1")
            text = one_line(self._inline(node))
            if text:
                self._writer.heading(min(int(level), 6) if level.isdigit() and level != "0" else 1, [Segment(text)])
                self._written += 1
        elif tag == f"{_TEXT}p":
            self._paragraph(node)
        elif tag == f"{_TEXT}list":
            self._flush()
            self._list(node, 0)
        elif tag == f"{_TABLE}table":
            self._flush()
            self._table(node)
        elif tag.startswith(_TEXT) and tag.removeprefix(_TEXT) in _INDEXES:
            self._dropped["TABLE_OF_CONTENTS"] += 1
        elif tag in _GROUPS:
            for child in node:
                self._block(child)
        elif tag == f"{_TEXT}tracked-changes":
            return

    def _paragraph(self, node: Any) -> None:
        text = self._inline(node)
        if any(word in self._style(node) for word in _CODE):
            self._code.extend(text.split("\n"))
            return
        self._flush()
        self._put("paragraph", squeezed(text).strip())

    def _style(self, node: Any) -> str:
        name = node.get(f"{_TEXT}style-name", "")
        return f"{name} {self._bases.get(name, '')}".lower()

    def _put(self, kind: Any, text: str) -> None:
        if text:
            self._writer.block(kind, [Segment("\\" + text if text.startswith("#") else text)])
            self._written += 1

    def _flush(self) -> None:
        """Write the lines of code that were held back."""
        lines, self._code = self._code, []
        code = "\n".join(lines).strip("\n")
        if code.strip():
            self._put("code", fenced(code))

    def _list(self, node: Any, depth: int) -> None:
        for item in node:
            mark = "- "
            for child in item:
                if child.tag == f"{_TEXT}list":
                    self._list(child, depth + 1)
                elif child.tag in (f"{_TEXT}p", f"{_TEXT}h"):
                    text = squeezed(self._inline(child)).strip()
                    indent = "  " * depth
                    if text:
                        self._put("item", indent + mark + text.replace("\n", f"\n{indent}  "))
                        mark = "  "

    def _table(self, node: Any) -> None:
        rows = [self._row(row) for row in node.iter(f"{_TABLE}table-row") if _own(row, node)]
        rows = [row for row in rows if any(row)]
        if not rows:
            return
        text, head = markdown_table(rows)
        self._writer.block("table", [Segment(text.rstrip("\n"))], head if len(rows) > 1 else 0)
        self._written += 1

    def _row(self, row: Any) -> list[str]:
        cells: list[str] = []
        for cell in row:
            if cell.tag not in (f"{_TABLE}table-cell", f"{_TABLE}covered-table-cell"):
                continue
            paragraphs = list(cell.iter(f"{_TEXT}p", f"{_TEXT}h"))
            text = " ".join(t for p in paragraphs if (t := one_line(self._inline(p))))
            repeated = cell.get(f"{_TABLE}number-columns-repeated", "1")
            cells.extend([text] * (min(int(repeated), _MOST_REPEATED) if repeated.isdigit() else 1))
        while cells and not cells[-1]:
            cells.pop()
        return cells

    def _inline(self, node: Any) -> str:
        """Return a paragraph's text; notes are kept for the end, pictures counted."""
        parts: list[str] = []
        self._gather(node, parts)
        return clean("".join(parts))

    def _gather(self, node: Any, parts: list[str]) -> None:
        parts.append(_blank(node.text))
        for child in node:
            tag = child.tag if isinstance(child.tag, str) else ""
            if tag == f"{_TEXT}s":
                count = child.get(f"{_TEXT}c", "1")
                parts.append(" " * (min(int(count), 200) if count.isdigit() else 1))
            elif tag in (f"{_TEXT}tab", f"{_TEXT}line-break"):
                parts.append("\t" if tag.endswith("tab") else "\n")
            elif tag == f"{_TEXT}note":
                self._note(child, parts)
            elif tag == f"{_OFFICE}annotation":
                self._dropped["COMMENT"] += 1
            elif tag == f"{_DRAW}image":
                self._dropped["IMAGE"] += 1
            elif tag:
                self._gather(child, parts)
            parts.append(_blank(child.tail))

    def _note(self, node: Any, parts: list[str]) -> None:
        prefix = "e" if node.get(f"{_TEXT}note-class") == "endnote" else ""
        mark = f"[^{prefix}{len(self._notes) + 1}]"
        body = node.find(f"{_TEXT}note-body")
        texts = [one_line(self._inline(p)) for p in body.iter(f"{_TEXT}p")] if body is not None else []
        parts.append(mark)
        self._notes.append(f"{mark}: {' '.join(texts)}")


def _own(row: Any, table: Any) -> bool:
    return next(row.iterancestors(f"{_TABLE}table"), None) is table


def _blank(text: str | None) -> str:
    """Return text with runs of white space as one space: further ones are elements of their own."""
    return re.sub(r"\s+", " ", text) if text else ""
