"""Plain text and Markdown as documents: the text stays as it is, and its blocks are found in it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import accumulate
from typing import Any

from markdown_it import MarkdownIt

from services.ingest.core.document import Block, ExtractedDocument, Kind, Outline
from services.ingest.core.normal import clean, one_line

_GAP = re.compile(r"\n[^\S\n]*\n\s*")
_FRONT_MATTER = re.compile(r"---[^\S\n]*\n(?:.*\n)*?(?:---|\.\.\.)[^\S\n]*(?:\n|\Z)")
_UNWRAPPED = 120
"""Mean length from which lines are taken for whole paragraphs; texts that are wrapped by hand stay below."""

_LEAVES: dict[str, Kind] = {
    "paragraph_open": "paragraph",
    "heading_open": "heading",
    "list_item_open": "item",
    "table_open": "table",
    "fence": "code",
    "code_block": "code",
    "html_block": "paragraph",
    "hr": "paragraph",
}


def plain_document(text: str) -> ExtractedDocument:
    """Return plain text as a document: a block for each paragraph, no headings."""
    text = clean(text).strip("\n")
    blocks = [
        Block(start, end, "paragraph", -1, number)
        for number, (start, end) in enumerate(_plain_paragraphs(text), start=1)
    ]
    return ExtractedDocument(text=text, blocks=blocks)


def _plain_paragraphs(text: str) -> Iterator[tuple[int, int]]:
    start = 0
    for gap in [*(match.span() for match in _GAP.finditer(text)), (len(text), len(text))]:
        lines = text.count("\n", start, gap[0]) + 1
        if lines > 1 and (gap[0] - start) / lines > _UNWRAPPED:
            yield from _trimmed_lines(text, start, gap[0])
        else:
            yield from _trimmed(text, start, gap[0])
        start = gap[1]


def _trimmed_lines(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    while start < end:
        newline = text.find("\n", start, end)
        newline = newline if newline >= 0 else end
        yield from _trimmed(text, start, newline)
        start = newline + 1


def _trimmed(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    while start < end and text[start].isspace():
        start += 1
    while start < end and text[end - 1].isspace():
        end -= 1
    if start < end:
        yield start, end


def markdown_document(text: str) -> ExtractedDocument:
    """Return Markdown as a document: CommonMark's blocks with tables; front matter is one block."""
    text = clean(text).strip("\n")
    lines = text.split("\n")
    starts = [0, *accumulate(len(line) + 1 for line in lines)]
    starts[-1] = len(text)
    outline = Outline()
    blocks: list[Block] = []
    for first, last, kind, level, title in _covered(_leaves(text), lines):
        for start, end in _trimmed(text, starts[first], starts[last]):
            head = starts[first + 2] - start if kind == "table" and first + 2 < last else 0
            above = outline.enter(level, title) if kind == "heading" else outline.current
            blocks.append(Block(start, end, kind, above, len(blocks) + 1, max(head, 0)))
    return ExtractedDocument(text=text, headings=outline.headings, blocks=blocks)


_Leaf = tuple[int, int, Kind, int, str]


def _leaves(text: str) -> list[_Leaf]:
    """Return (first line, line after the last, kind, heading level, title) of each leaf block, in order."""
    parser = MarkdownIt("commonmark").enable("table")
    parser.core.ruler.enableOnly(["normalize", "block"])
    front = _FRONT_MATTER.match(text)
    skipped = text.count("\n", 0, front.end()) + (0 if front.group().endswith("\n") else 1) if front else 0
    found: list[_Leaf] = [(0, skipped, "code", 0, "")] if front else []
    tokens = parser.parse("\n" * skipped + text[front.end() :] if front else text)
    for index, token in enumerate(tokens):
        kind = _LEAVES.get(token.type)
        if kind is None or token.map is None:
            continue
        first, last = token.map
        level = int(token.tag[1:]) if kind == "heading" and token.level == 0 else 0
        if kind == "heading" and not level:
            kind = "paragraph"
        _add(found, (first, last, kind, level, _title(tokens, index) if level else ""), nested=token.level > 0)
    return found


def _add(found: list[_Leaf], leaf: _Leaf, nested: bool) -> None:
    """Add a leaf; one that begins inside another ends that one, one that begins with an item takes its place."""
    first, last, kind, level, title = leaf
    if found and found[-1][1] > first:
        before = found.pop()
        if before[0] < first:
            found.append((before[0], first, *before[2:]))
        elif kind == "paragraph":
            kind = before[2]
    elif nested and kind == "paragraph":
        kind = "item"
    found.append((first, last, kind, level, title))


def _title(tokens: list[Any], index: int) -> str:
    return one_line(tokens[index + 1].content).strip("*_` ")


def _covered(leaves: list[_Leaf], lines: list[str]) -> Iterator[_Leaf]:
    """Yield the leaves and, as paragraphs, the runs of lines that no leaf holds, such as link definitions."""
    done = 0
    for leaf in [*leaves, (len(lines), len(lines), "paragraph", 0, "")]:
        yield from _runs(lines, done, leaf[0])
        if leaf[0] < leaf[1]:
            yield leaf
        done = max(done, leaf[1])


def _runs(lines: list[str], first: int, end: int) -> Iterator[_Leaf]:
    while first < end:
        if not lines[first].strip():
            first += 1
            continue
        last = first
        while last < end and lines[last].strip():
            last += 1
        yield first, last, "paragraph", 0, ""
        first = last
