"""PowerPoint presentations (PPTX): slide by slide, with titles as headings, lists, tables and notes."""

from __future__ import annotations

import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pptx
from pptx.enum.shapes import PP_PLACEHOLDER
from pptx.exc import PythonPptxError

from services.ingest.core.document import Where
from services.ingest.core.extraction import Extraction, corrupt, no_text
from services.ingest.core.normal import clean, markdown_table, one_line, squeezed
from services.ingest.core.writer import DocumentWriter, Segment
from services.ingest.sandbox.job import Progress
from services.ingest.sandbox.office import check_office

_A = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
_EDGES = {
    PP_PLACEHOLDER.FOOTER: "PAGE_FOOTER",
    PP_PLACEHOLDER.HEADER: "PAGE_HEADER",
    PP_PLACEHOLDER.DATE: "PAGE_FOOTER",
    PP_PLACEHOLDER.SLIDE_NUMBER: "PAGE_NUMBER",
}
_LISTS = {PP_PLACEHOLDER.BODY, PP_PLACEHOLDER.OBJECT, PP_PLACEHOLDER.VERTICAL_BODY}
_MOST_DEEP = 20


def read_slides(path: Path, progress: Progress) -> Extraction:
    """Return the text of a PPTX as Markdown; each block knows its slide.

    Raises:
        InvalidArgument: ENCRYPTED_DOCUMENT, CORRUPT_DOCUMENT or NO_TEXT.
        Exhausted: EXTRACTION_LIMIT: the archive would unpack to too much.
    """
    check_office(path, "PowerPoint")
    try:
        slides = list(pptx.Presentation(str(path)).slides)
    except (KeyError, ValueError, SyntaxError, AttributeError, zipfile.BadZipFile, PythonPptxError) as error:
        raise corrupt("is not a whole PowerPoint document") from error
    reader = _Reader()
    for number, slide in enumerate(slides, start=1):
        reader.slide(number, slide)
        progress("extract", number, len(slides), "slides")
    return reader.extraction()


class _Reader:
    """Walks through the slides of one presentation."""

    def __init__(self) -> None:
        self._writer = DocumentWriter()
        self._dropped: Counter[str] = Counter()
        self._written = 0
        self._where = Where()

    def slide(self, number: int, slide: Any) -> None:
        """Write one slide; a hidden one is counted."""
        if slide.element.get("show") in ("0", "false"):
            self._dropped["HIDDEN_SLIDE"] += 1
            return
        self._where = Where(slide=number)
        self._writer.apart()
        title = slide.shapes.title
        text = one_line(clean(title.text_frame.text)) if title is not None and title.has_text_frame else ""
        if text:
            self._writer.heading(1, [Segment(text, where=self._where)])
            self._written += 1
        for shape in _flat(slide.shapes, 0):
            if title is None or shape.shape_id != title.shape_id:
                self._shape(shape)
        if slide.has_notes_slide:
            frame = slide.notes_slide.notes_text_frame
            notes = squeezed(clean(frame.text.replace("\v", "\n"))).strip() if frame is not None else ""
            if notes:
                self._put("paragraph", f"Notes: {notes}")

    def extraction(self) -> Extraction:
        """Return what was written.

        Raises:
            InvalidArgument: NO_TEXT.
        """
        if not self._written:
            raise no_text("has no text on its slides")
        return Extraction(
            document=self._writer.document(),
            extractor=f"python-pptx {pptx.__version__}",
            pages=0,
            stage="paragraphs",
            came=self._written + sum(self._dropped.values()),
            went=self._written,
            dropped=dict(self._dropped),
        )

    def _shape(self, shape: Any) -> None:
        kind = shape.placeholder_format.type if shape.is_placeholder else None
        if kind in _EDGES:
            if shape.has_text_frame and shape.text_frame.text.strip():
                self._dropped[_EDGES[kind]] += 1
        elif shape.has_text_frame:
            for paragraph in shape.text_frame.paragraphs:
                self._paragraph(paragraph, kind in _LISTS)
        elif getattr(shape, "has_table", False) and shape.has_table:
            self._table(shape.table)
        elif getattr(shape, "has_chart", False) and shape.has_chart:
            self._dropped["CHART"] += 1
        elif shape.element.tag.endswith("}pic"):
            self._dropped["IMAGE"] += 1
        elif shape.element.tag.endswith("}graphicFrame"):
            self._dropped["EMBEDDED_DOCUMENT"] += 1

    def _paragraph(self, paragraph: Any, listed: bool) -> None:
        text = squeezed(clean(paragraph.text.replace("\v", "\n"))).strip()
        if not text:
            return
        properties = paragraph._p.find(f"{_A}pPr")
        marks = [child.tag.rpartition("}")[2] for child in properties] if properties is not None else []
        if "buNone" in marks or not (listed or "buChar" in marks or "buAutoNum" in marks):
            self._put("paragraph", text)
            return
        indent = "  " * paragraph.level
        mark = "1. " if "buAutoNum" in marks else "- "
        self._put("item", indent + mark + text.replace("\n", f"\n{indent}  "))

    def _table(self, table: Any) -> None:
        rows = [["" if cell.is_spanned else one_line(clean(cell.text)) for cell in row.cells] for row in table.rows]
        rows = [row for row in rows if any(row)]
        if rows:
            text, head = markdown_table(rows)
            segment = Segment(text.rstrip("\n"), where=self._where)
            self._writer.block("table", [segment], head if len(rows) > 1 else 0)
            self._written += 1

    def _put(self, kind: Any, text: str) -> None:
        text = "\\" + text if text.startswith("#") else text
        self._writer.block(kind, [Segment(text, where=self._where)])
        self._written += 1


def _flat(shapes: Any, depth: int) -> Iterator[Any]:
    """Yield shapes in their order, those of groups in the group's place."""
    for shape in shapes:
        if shape.element.tag.endswith("}grpSp") and depth < _MOST_DEEP:
            yield from _flat(shape.shapes, depth + 1)
        else:
            yield shape
