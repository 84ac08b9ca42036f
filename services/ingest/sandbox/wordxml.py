"""The XML of Word documents: names, styles, and the text of a paragraph."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from docx.oxml.parser import parse_xml

W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_M = "{http://schemas.openxmlformats.org/officeDocument/2006/math}"
_MC = "{http://schemas.openxmlformats.org/markup-compatibility/2006}"
_A = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
_V = "{urn:schemas-microsoft-com:vml}"

_SKIPPED = {
    f"{W}{name}"
    for name in (
        "del",
        "moveFrom",
        "pPr",
        "instrText",
        "delText",
        "rt",
        "sdtPr",
        "tblPr",
        "tcPr",
        "trPr",
        "commentReference",
    )
}
_FIXED = {
    f"{W}tab": " ",
    f"{W}cr": "\n",
    f"{W}noBreakHyphen": "-",
    f"{W}ptab": " ",
}


@dataclass
class Inline:
    """What a paragraph holds besides its text.

    Args:
        text: the visible text.
        boxes: contents of text boxes anchored in it.
        pictures: pictures anchored in it.
    """

    text: str = ""
    boxes: list[Any] = field(default_factory=list)
    pictures: int = 0


def inline(paragraph: Any) -> Inline:
    """Return a paragraph's visible text with tracked insertions, links, fields and formulas, without deletions."""
    found = Inline()
    parts: list[str] = []
    stack = list(reversed(paragraph))
    while stack:
        node = stack.pop()
        tag = node.tag
        if tag in _SKIPPED or not isinstance(tag, str):
            continue
        if tag in (f"{W}t", f"{_M}t"):
            parts.append(node.text or "")
        elif tag in _FIXED:
            parts.append(_FIXED[tag])
        elif tag == f"{W}br":
            parts.append("\n")
        elif tag in (f"{W}footnoteReference", f"{W}endnoteReference"):
            parts.append(f"[^{note_mark(node)}]")
        elif tag == f"{W}txbxContent":
            found.boxes.append(node)
        elif tag == f"{_MC}AlternateContent":
            stack.extend(list(node)[:1])  # the others say the same for older programs
        elif tag == f"{W}r" and _hidden(node):
            continue
        else:
            found.pictures += tag in (f"{_A}blip", f"{_V}imagedata")
            stack.extend(reversed(node))
    found.text = "".join(parts)
    return found


def note_mark(node: Any) -> str:
    """Return the mark of a footnote ("1") or an endnote ("e1")."""
    prefix = "e" if node.tag in (f"{W}endnoteReference", f"{W}endnote") else ""
    return prefix + str(node.get(f"{W}id"))


def _hidden(run: Any) -> bool:
    properties = run.find(f"{W}rPr")
    vanish = properties.find(f"{W}vanish") if properties is not None else None
    return vanish is not None and vanish.get(f"{W}val") not in ("0", "false", "off")


def blocks_of(container: Any) -> Iterator[Any]:
    """Yield paragraphs and tables of a body, a cell, a note or a text box, also those in content controls."""
    for node in container:
        if node.tag in (f"{W}p", f"{W}tbl", f"{W}altChunk"):
            yield node
        elif node.tag == f"{W}sdt":
            content = node.find(f"{W}sdtContent")
            if content is not None:
                yield from blocks_of(content)
        elif node.tag in (f"{W}customXml", f"{W}ins", f"{W}moveTo"):
            yield from blocks_of(node)


def paragraphs_in(container: Any) -> Iterator[Any]:
    """Yield every paragraph below a node, also those of inner tables and text boxes, each once."""
    stack = list(reversed(container))
    while stack:
        node = stack.pop()
        if node.tag == f"{W}p":
            yield node
        if node.tag != f"{_MC}Fallback":
            stack.extend(reversed(node))


def value(node: Any, *path: str) -> str | None:
    """Return the w:val of the element that a path of names leads to, or None."""
    for name in path:
        node = node.find(W + name) if node is not None else None
    return node.get(f"{W}val") if node is not None else None


def number(text: str | None) -> int | None:
    """Return a whole number, or None if a text is none."""
    try:
        return int(text) if text is not None else None
    except ValueError:
        return None


def parsed(blob: bytes) -> Any:
    """Return XML's root; entities are not resolved.

    Raises:
        SyntaxError: it is no XML.
    """
    return parse_xml(blob)
