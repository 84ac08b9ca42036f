"""Pages as one document."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace

from services.ingest.core.document import ExtractedDocument
from services.ingest.core.layout.cells import aligned_tables, with_marks
from services.ingest.core.layout.columns import Element, flows
from services.ingest.core.layout.furniture import Edge, furniture
from services.ingest.core.layout.grids import ruled_tables
from services.ingest.core.layout.page import Page, Run, Table, rows_of
from services.ingest.core.layout.paragraphs import Passage, item_text, passages, unfinished
from services.ingest.core.layout.sketch import Sketch, sketched
from services.ingest.core.layout.titles import Titles
from services.ingest.core.layout.wording import SOFT, Vocabulary, flowed
from services.ingest.core.normal import fenced, markdown_table
from services.ingest.core.writer import DocumentWriter, Segment

Part = Passage | Table | str
Parts = list[tuple[Part, bool]]
"""The parts of a page, each with whether it is the first of its column."""

Furniture = dict[int, list[int]]
"""Which runs of a page are running heads, running feet and page numbers: their places, by the page's number."""


def assemble(pages: Sequence[Page]) -> ExtractedDocument:
    """Return the pages' text in reading order; see composed."""
    return composed(
        list(map(sketched, pages)), lambda outer: [parts_of(page, outer.get(page.number, ())) for page in pages]
    )


def composed(pages: Sequence[Sketch], divided: Callable[[Furniture], Iterable[Parts]]) -> ExtractedDocument:
    """Return the pages' text in reading order, with headings, lists, tables and code as Markdown.

    Running heads, running feet and page numbers stay in the text where they stood and are marked as removed. A
    paragraph that goes on over a page's end is one block.

    Args:
        pages: in order.
        divided: gives the parts of each page, in order, as parts_of does, when it is told what is furniture.
    """
    outer = furniture(pages)
    places = {number: [place for edge in edges for place in edge.places] for number, edges in outer.items()}
    parts = list(divided(places))
    titles = Titles(pages, (part for found in parts for part, _ in found if isinstance(part, Passage)))
    assembly = _Assembly(titles, Vocabulary(text for page in pages for text in page.texts))
    for page, found in zip(pages, parts, strict=True):
        edges = outer.get(page.number, ())
        assembly.remove([edge for edge in edges if edge.top], page.number)
        for part, fresh in found:
            assembly.add(part, page.number, fresh)
        assembly.remove([edge for edge in edges if not edge.top], page.number)
    return assembly.document()


def parts_of(page: Page, outer: Collection[int]) -> Parts:
    """Return the parts of one page in reading order, turned texts last; outer: which of its runs are left out."""
    left = [run for place, run in enumerate(page.runs) if place not in outer] if outer else page.runs
    tables, runs = ruled_tables(page.rules, left) if page.rules else ([], left)
    elements: list[Element] = [*runs, *tables]
    found: Parts = []
    for flow in flows(elements):
        whole = not tables and flow == elements
        lines = _texts(page.rows_without(outer)) if whole else _lines(flow)
        found.extend((part, index == 0) for index, part in enumerate(passages(lines)))
    found.extend((text, False) for text in page.turned)
    return found


def _lines(flow: Sequence[Element]) -> list[Run | Table]:
    """Return a column's lines and tables from top to bottom."""
    tables = sorted((e for e in flow if isinstance(e, Table)), key=lambda t: t.y0)
    rows = rows_of(e for e in flow if isinstance(e, Run))
    found: list[Run | Table] = []
    for table in tables:
        above = [row for row in rows if row[0].middle < table.y0]
        rows = rows[len(above) :]
        found.extend([*_texts(above), table])
    return [*found, *_texts(rows)]


def _texts(rows: Sequence[list[Run]]) -> list[Run | Table]:
    """Return rows as lines and tables."""
    return [*aligned_tables([with_marks(row) for row in rows])]


class _Assembly:
    """Writes parts, holding the last passage back until it is known whether the next column or page goes on with it."""

    def __init__(self, titles: Titles, vocabulary: Vocabulary) -> None:
        self._titles = titles
        self._vocabulary = vocabulary
        self._writer = DocumentWriter()
        self._open: tuple[Passage, list[Segment]] | None = None
        self._edges: list[Segment] = []

    def remove(self, edges: Iterable[Edge], page: int) -> None:
        """Take up furniture; it is written before the next part."""
        self._edges.extend(Segment(_plain(edge.text), page, edge.reason) for edge in edges)

    def add(self, part: Part, page: int, fresh: bool) -> None:
        """Write a part of a page. fresh: whether it is the first of its column."""
        if isinstance(part, Passage) and part.kind != "code" and not self._titles.level(part):
            if not (fresh and self._go_on(part, page)):
                self._close()
                self._open = (part, [Segment(self._text(part), page)])
            return
        self._close()
        if isinstance(part, Table):
            text, head = markdown_table([[_plain(cell) for cell in row] for row in part.rows])
            self._writer.block("table", [Segment(text.rstrip("\n"), page)], head if len(part.rows) > 1 else 0)
        elif isinstance(part, str):
            self._writer.block("paragraph", [Segment(_plain(part), page)])
        elif part.kind == "code":
            self._writer.block("code", [Segment(fenced(_plain("\n".join(part.texts))), page)])
        else:
            title = _plain(self._text(part)).replace("\n", " ")
            self._writer.heading(self._titles.level(part), [Segment(title, page)])

    def _text(self, passage: Passage) -> str:
        text = flowed(passage.texts, passage.breaks, self._vocabulary)
        return item_text(text) if passage.kind == "item" else text

    def _go_on(self, part: Passage, page: int) -> bool:
        """Join a column's first passage to the last one of the column before, if it is the rest of its sentence."""
        if not self._open or not unfinished(self._open[0]) or part.kind != "text":
            return False
        first = part.texts[0]
        if not first[:1].islower() or abs(part.size - self._open[0].size) > 0.07 * part.size:
            return False
        segments = self._open[1]
        end, between = self._vocabulary.joint(segments[-1].text, first)
        segments[-1] = replace(segments[-1], text=end + between)
        # The furniture between both halves is set apart by blank lines that are removed with it.
        for index, edge in enumerate(self._edges):
            after = "\n\n" if index == len(self._edges) - 1 else ""
            segments.append(replace(edge, text=f"\n\n{edge.text}{after}"))
        self._edges = []
        segments.append(Segment(self._text(part), page))
        self._open = (part, segments)
        return True

    def _close(self) -> None:
        if self._open:
            passage, segments = self._open
            cleaned = [
                replace(segment, text=_plain(segment.text)) if SOFT in segment.text else segment for segment in segments
            ]
            self._writer.block("item" if passage.kind == "item" else "paragraph", cleaned)
            self._open = None
        for edge in self._edges:
            self._writer.remove(edge)
        self._edges = []

    def document(self) -> ExtractedDocument:
        """Return all that was added."""
        self._close()
        return self._writer.document()


def _plain(text: str) -> str:
    """Return text with ordinary hyphens where words stay divided."""
    return text.replace(SOFT, "-")
