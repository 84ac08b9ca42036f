"""Word documents (DOCX): headings, paragraphs, lists, tables, code, notes."""

from __future__ import annotations

import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import docx
from docx.exceptions import PythonDocxError
from docx.opc.exceptions import OpcError

from services.ingest.core.extraction import Extraction, corrupt, no_text
from services.ingest.core.normal import clean, fenced, markdown_table, one_line, squeezed
from services.ingest.core.writer import DocumentWriter, Segment
from services.ingest.sandbox.job import Progress
from services.ingest.sandbox.office import check_office
from services.ingest.sandbox.wordstyles import Numbering, Styles
from services.ingest.sandbox.wordxml import W, blocks_of, inline, note_mark, paragraphs_in, parsed


def read_word(path: Path, progress: Progress) -> Extraction:
    """Return the text of a DOCX as Markdown.

    Raises:
        InvalidArgument: ENCRYPTED_DOCUMENT, CORRUPT_DOCUMENT or NO_TEXT.
        Exhausted: EXTRACTION_LIMIT: the archive would unpack to too much.
    """
    check_office(path, "Word")
    try:
        document = docx.Document(str(path))
        reader = _Reader(document, progress)
    except (KeyError, ValueError, SyntaxError, zipfile.BadZipFile, OpcError, PythonDocxError) as error:
        raise corrupt("is not a whole Word document") from error
    return reader.read()


class _Reader:
    """Walks through one document."""

    def __init__(self, document: Any, progress: Progress) -> None:
        self._body = document.element.body
        self._parts = {rel.reltype.rsplit("/", 1)[-1]: rel.target_part for rel in _relations(document)}
        self._styles = Styles(_root(self._parts.get("styles")))
        self._numbering = Numbering(_root(self._parts.get("numbering")))
        self._dropped = Counter(_unread(document))
        self._progress = progress
        self._writer = DocumentWriter()
        self._written = 0
        self._code: list[str] = []
        self._titled = 0

    def read(self) -> Extraction:
        """Return the whole text."""
        top = list(blocks_of(self._body))
        for index, node in enumerate(top):
            self._block(node)
            self._progress("extract", index + 1, len(top), "paragraphs")
        self._notes()
        self._flush()
        document = self._writer.document()
        if not document.text.strip():
            raise no_text("has no text")
        dropped = +self._dropped
        return Extraction(
            document=document,
            extractor=f"python-docx {docx.__version__}",
            pages=0,
            stage="paragraphs",
            came=self._written + sum(dropped.values()),
            went=self._written,
            dropped=dropped,
        )

    def _block(self, node: Any) -> None:
        if node.tag == f"{W}p":
            self._paragraph(node)
        elif node.tag == f"{W}tbl":
            self._flush()
            self._table(node)
        else:
            self._dropped["EMBEDDED_DOCUMENT"] += 1

    def _paragraph(self, node: Any) -> None:
        found = inline(node)
        self._dropped["IMAGE"] += found.pictures
        if self._styles.is_code(node):
            self._code.extend(clean(found.text).split("\n"))
        else:
            self._flush()
            self._text(node, squeezed(clean(found.text)).strip())
        for box in found.boxes:
            for inner in blocks_of(box):
                self._block(inner)

    def _text(self, node: Any, text: str) -> None:
        level = self._styles.level(node)
        numbering = self._styles.numbering(node)
        if not text:
            return
        mark = self._numbering.mark(*numbering) if numbering else ""
        self._written += 1
        if level:
            title = one_line(f"{'' if mark == '-' else mark} {text}")
            self._writer.heading(self._depth(node, level), [Segment(title)])
        elif numbering and mark:
            indent = "  " * min(max(numbering[1], self._styles.list_depth(node)), 8)
            self._writer.block("item", [Segment(f"{indent}{mark} " + text.replace("\n", f"\n{indent}  "))])
        else:
            self._writer.block("paragraph", [Segment("\\" + text if text.startswith("#") else text)])

    def _depth(self, node: Any, level: int) -> int:
        """Return a heading's level, one lower below a document's title."""
        if self._styles.name(node) == "title":
            self._titled = 1
            return 1
        return min(level + self._titled, 6)

    def _flush(self) -> None:
        """Write the lines of code that were held back."""
        lines, self._code = self._code, []
        code = "\n".join(lines).strip("\n")
        if code.strip():
            self._writer.block("code", [Segment(fenced(code))])
            self._written += 1

    def _table(self, node: Any) -> None:
        rows = [self._row(row) for row in node.iter(f"{W}tr") if _own(row, node)]
        rows = [row for row in rows if any(row)]
        if not rows:
            return
        if max(len(row) for row in rows) == 1:
            for cell in node.iter(f"{W}tc"):
                if _own(cell, node):
                    for inner in blocks_of(cell):
                        self._block(inner)
            return
        text, head = markdown_table(rows)
        self._writer.block("table", [Segment(text.rstrip("\n"))], head if len(rows) > 1 else 0)
        self._written += 1

    def _row(self, row: Any) -> list[str]:
        cells: list[str] = []
        for cell in row.iter(f"{W}tc"):
            if not _own(cell, row):
                continue
            properties = cell.find(f"{W}tcPr")
            merge = properties.find(f"{W}vMerge") if properties is not None else None
            covered = merge is not None and merge.get(f"{W}val") != "restart"
            cells.append("" if covered else self._cell(cell))
            span = properties.find(f"{W}gridSpan") if properties is not None else None
            width = span.get(f"{W}val", "1") if span is not None else "1"
            cells.extend([""] * (min(int(width), 64) - 1 if width.isdigit() else 0))
        return cells

    def _cell(self, cell: Any) -> str:
        texts = []
        for paragraph in paragraphs_in(cell):
            found = inline(paragraph)
            self._dropped["IMAGE"] += found.pictures
            texts.append(one_line(clean(found.text)))
        return " ".join(text for text in texts if text)

    def _notes(self) -> None:
        for kind in ("footnotes", "endnotes"):
            root = _root(self._parts.get(kind))
            for note in root if root is not None else ():
                texts = [one_line(clean(inline(p).text)) for p in paragraphs_in(note)]
                text = " ".join(t for t in texts if t)
                if text and note.get(f"{W}type") in (None, "normal"):
                    self._flush()
                    self._writer.block("paragraph", [Segment(f"[^{note_mark(note)}]: {text}")])
                    self._written += 1


def _own(node: Any, container: Any) -> bool:
    """Whether a row or cell belongs to this table or row, not to a table inside one of its cells."""
    kind = container.tag
    parent = node.getparent()
    while parent is not None and parent is not container:
        if parent.tag in (f"{W}tbl", f"{W}tc") or parent.tag == kind:
            return False
        parent = parent.getparent()
    return True


def _relations(document: Any) -> list[Any]:
    return [rel for rel in document.part.rels.values() if not rel.is_external]


def _root(part: Any) -> Any:
    if part is None:
        return None
    return part.element if hasattr(part, "element") else parsed(part.blob)


def _unread(document: Any) -> dict[str, int]:
    """Return how many paragraphs stand in running heads, running feet and comments, which are no content."""
    reasons = {"header": "PAGE_HEADER", "footer": "PAGE_FOOTER", "comments": "COMMENT"}
    counts: Counter[str] = Counter()
    for rel in _relations(document):
        reason = reasons.get(rel.reltype.rsplit("/", 1)[-1])
        if reason:
            paragraphs = paragraphs_in(_root(rel.target_part))
            counts[reason] += sum(1 for p in paragraphs if inline(p).text.strip())
    return counts
