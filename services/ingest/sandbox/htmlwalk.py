"""HTML and XHTML block by block: headings, paragraphs, lists, tables, code; what is no content is counted."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

from services.ingest.core.document import Kind
from services.ingest.core.normal import clean, fenced, markdown_table, one_line, squeezed
from services.ingest.core.writer import DocumentWriter, Segment

_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_BLOCK_NAMES = """
    address article aside blockquote body caption center dd details dialog dir div dl dt fieldset
    figcaption figure footer form header hgroup hr html legend li main menu nav noscript ol optgroup
    option p pre search section summary table tbody td template tfoot th thead tr ul
"""
_BLOCKS = frozenset(_HEADINGS) | frozenset(_BLOCK_NAMES.split())
_SILENT = {
    "script": "SCRIPT",
    "style": "STYLE",
    "template": "TEMPLATE",
    "noscript": "SCRIPT",
    "nav": "NAVIGATION",
    "iframe": "EMBEDDED_DOCUMENT",
    "object": "EMBEDDED_DOCUMENT",
    "embed": "EMBEDDED_DOCUMENT",
    "svg": "IMAGE",
    "img": "IMAGE",
    "picture": "IMAGE",
    "canvas": "IMAGE",
    "video": "IMAGE",
    "audio": "IMAGE",
    "button": "FORM",
    "input": "FORM",
    "select": "FORM",
    "textarea": "FORM",
}
_ROLES = {
    "navigation": "NAVIGATION",
    "search": "NAVIGATION",
    "banner": "PAGE_HEADER",
    "contentinfo": "PAGE_FOOTER",
}
_OWNED = {"article", "section", "main", "blockquote", "aside", "figure"}
"""Header and footer inside of these belong to them, not to the page."""

_HIDDEN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)
_CONTENTS = frozenset({"toc", "table-of-contents", "tableofcontents"})
_MARKS = frozenset({"¶", "§", "#", "🔗"})
"""What links from a heading to the heading itself show."""

_QUIET = frozenset(
    {"head", "title", "meta", "link", "base", "wbr", "col", "colgroup", "param", "source", "track", "rp"}
)
_CODE = frozenset({"code", "tt", "kbd", "samp"})


class HtmlWalk:
    """Writes the body of one HTML document.

    Args:
        writer: where to write.
        whole: whether navigation, page header and page footer are written too.
    """

    def __init__(self, writer: DocumentWriter, whole: bool = False) -> None:
        self._writer = writer
        self._whole = whole
        self._text: list[str] = []
        self._mark = ""
        self._indent = ""
        self._kind: Kind = "paragraph"
        self.written = 0
        self.dropped: Counter[str] = Counter()

    def walk(self, root: Any) -> None:
        """Write all below an element."""
        self._inside(root)
        self._flush()

    def _inside(self, node: Any) -> None:
        self._say(node.text)
        for child in node:
            if isinstance(child.tag, str):
                self._element(child)
            self._say(child.tail)

    def _say(self, text: str | None) -> None:
        if text:
            self._text.append(re.sub(r"[ \t\r\n\f]+", " ", text))

    def _element(self, node: Any) -> None:
        tag = name_of(node)
        reason = self._unwanted(node, tag)
        if reason:
            self.dropped[reason] += 1
        elif tag in _QUIET:
            return
        elif tag == "br":
            self._text.append("\n")
        elif tag == "hr":
            self._flush()
        elif tag in _HEADINGS:
            self._heading(node, _HEADINGS[tag])
        elif tag == "pre":
            self._pre(node)
        elif tag == "table":
            self._table(node)
        elif tag in ("ul", "ol", "menu", "dir"):
            self._list(node, tag == "ol")
        elif tag in _BLOCKS:
            self._flush()
            self._inside(node)
            self._flush()
        elif tag in _CODE:
            self._inline_code(node)
        else:
            self._inside(node)

    def _unwanted(self, node: Any, tag: str) -> str:
        """Return why an element is no content, or ""."""
        if tag in _SILENT and not (self._whole and tag == "nav"):
            return "" if tag == "noscript" and self._whole else _SILENT[tag]
        if node.get("hidden") is not None or _HIDDEN.search(node.get("style") or ""):
            return "HIDDEN"
        if self._whole:
            return ""
        if tag == "a" and _links_to_itself(node):
            return "NAVIGATION"
        if _CONTENTS & {(node.get("id") or "").lower(), *(node.get("class") or "").lower().split()}:
            return "TABLE_OF_CONTENTS"
        role = _ROLES.get((node.get("role") or "").strip().lower(), "")
        if role:
            return role
        if tag in ("header", "footer") and not _owned(node):
            if tag == "footer":
                return "PAGE_FOOTER"
            return "" if _has_title(node) else "PAGE_HEADER"
        return ""

    def _inline_code(self, node: Any) -> None:
        """Write code inside a line between backticks, unless it has blocks in it or backticks of its own."""
        text = one_line("".join(node.itertext()))
        plain = all(name_of(inner) not in _BLOCKS for inner in node.iterdescendants() if isinstance(inner.tag, str))
        if text and plain and "`" not in text:
            self._text.append(f"`{text}`")
        else:
            self._inside(node)

    def _heading(self, node: Any, level: int) -> None:
        self._flush()
        self._inside(node)
        text = one_line(self._taken())
        if text:
            self._writer.heading(level, [Segment(text)])
            self.written += 1

    def _pre(self, node: Any) -> None:
        self._flush()
        for mark in node.iter("{*}br"):
            mark.text = "\n"
        code = clean("".join(node.itertext())).strip("\n")
        if code.strip():
            self._writer.block("code", [Segment(fenced(code))])
            self.written += 1

    def _list(self, node: Any, numbered: bool) -> None:
        self._flush()
        kind, indent = self._kind, self._indent
        start = (node.get("start") or "").strip()
        number = int(start) if start.isdigit() and len(start) < 6 else 1
        deeper = indent + "  " if kind == "item" else indent
        self._loose(node.text)
        for child in node:
            if isinstance(child.tag, str):
                self._kind, self._indent = "item", deeper
                if name_of(child) == "li":
                    self._mark = f"{number}. " if numbered else "- "
                    number += 1
                self._element(child)
                self._flush()
                self._mark = ""
            self._kind, self._indent = kind, indent
            self._loose(child.tail)
        self._kind, self._indent = kind, indent

    def _loose(self, text: str | None) -> None:
        """Write a text that stands in a list but in none of its entries."""
        if text and text.strip():
            self._say(text)
            self._flush()

    def _table(self, node: Any) -> None:
        """Write a table; one that only arranges things on the page is written as what is in its cells."""
        self._flush()
        rows = [row for row in node.iter("{*}tr", "tr") if _of_table(row, node)]
        cells = [[c for c in row if isinstance(c.tag, str) and name_of(c) in ("td", "th")] for row in rows]
        if max((len(row) for row in cells), default=0) < 2 or any(_arranges(c) for row in cells for c in row):
            self._inside(node)
            self._flush()
            return
        for caption in node:
            if isinstance(caption.tag, str) and name_of(caption) == "caption":
                self._element(caption)
        self._flush()
        texts = [[part for cell in row for part in self._cell(cell)] for row in cells]
        texts = [row for row in texts if any(row)]
        if texts:
            text, head = markdown_table(texts)
            self._writer.block("table", [Segment(text.rstrip("\n"))], head if len(texts) > 1 else 0)
            self.written += 1

    def _cell(self, cell: Any) -> list[str]:
        """Return a cell's text, with empty cells for the further columns that it covers."""
        held, self._text = self._text, []
        inner = HtmlWalk(DocumentWriter(), self._whole)
        inner._gather(cell)
        self.dropped.update(inner.dropped)
        self._text = held
        span = (cell.get("colspan") or "1").strip()
        more = min(int(span), 64) - 1 if span.isdigit() and len(span) < 6 else 0
        return [one_line(clean("".join(inner._text))), *[""] * max(more, 0)]

    def _gather(self, node: Any) -> None:
        """Take in the text below a node as one line."""
        self._say(node.text)
        for child in node:
            if isinstance(child.tag, str):
                tag = name_of(child)
                reason = self._unwanted(child, tag)
                if reason:
                    self.dropped[reason] += 1
                elif tag == "br" or tag in _BLOCKS:
                    self._text.append(" ")
                    self._gather(child)
                    self._text.append(" ")
                elif tag not in _QUIET:
                    self._gather(child)
            self._say(child.tail)

    def _taken(self) -> str:
        text, self._text = "".join(self._text), []
        return squeezed(clean(text)).strip()

    def _flush(self) -> None:
        """Write the text gathered so far as one block."""
        text = self._taken()
        if not text:
            return
        if self._kind == "item":
            mark, self._mark = self._mark or "  ", ""
            lines = text.replace("\n", f"\n{self._indent}  ")
            self._writer.block("item", [Segment(f"{self._indent}{mark}{lines}")])
        else:
            self._writer.block("paragraph", [Segment("\\" + text if text.startswith("#") else text)])
        self.written += 1


def name_of(node: Any) -> str:
    """Return an element's name in lower case, without its namespace."""
    return str(node.tag).rpartition("}")[2].lower()


def _links_to_itself(node: Any) -> bool:
    return (node.get("href") or "").startswith("#") and "".join(node.itertext()).strip() in _MARKS


def _owned(node: Any) -> bool:
    return any(name_of(above) in _OWNED for above in node.iterancestors())


def _has_title(node: Any) -> bool:
    """Whether a page's header holds the only heading of the first level."""
    inside = [n for n in node.iter() if isinstance(n.tag, str) and name_of(n) == "h1"]
    if not inside:
        return False
    everywhere = [n for n in node.getroottree().iter() if isinstance(n.tag, str) and name_of(n) == "h1"]
    return len(everywhere) == len(inside)


def _of_table(row: Any, table: Any) -> bool:
    above = next((n for n in row.iterancestors() if name_of(n) == "table"), None)
    return above is table


def _arranges(cell: Any) -> bool:
    """Whether a cell holds what no cell of a Markdown table can: headings, code, lists or tables."""
    held = {"table", "pre", "h1", "h2", "h3", "h4", "h5", "h6"}
    return any(isinstance(n.tag, str) and name_of(n) in held for n in cell.iterdescendants())
