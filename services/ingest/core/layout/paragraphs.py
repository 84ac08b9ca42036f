"""Lines of one column as paragraphs, list items and pieces of code."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from services.ingest.core.layout.page import Leading, Run, Table

_ITEM = re.compile(
    r"(?P<bullet>[•◦▪‣●○■□]|[–—*·-](?=\s))\s*|(?P<count>\(?(?:\d{1,3}|[a-zA-Z]|[ivxIVX]{1,5})[.)]|\[\d{1,3}\])\s+"
)
_LISTED = re.compile(r"… ?\w{1,6}$")
_BULLET = re.compile(r"[•◦▪‣●○■□]")
_ENDS = (".", "!", "?", ":", ";", "…", "。", "！", "？")
_CLOSERS = "\"'”’»)]"

Kind = Literal["text", "item", "code"]


@dataclass
class Passage:
    """Lines that belong together.

    Args:
        kind: what they are.
        lines: top to bottom.
        breaks: for each line but the first, whether it begins a line of its own within the passage.
    """

    kind: Kind
    lines: list[Run]
    breaks: list[bool] = field(default_factory=list)

    @property
    def size(self) -> float:
        """Font size of its first line."""
        return self.lines[0].size

    @property
    def bold(self) -> bool:
        """Whether all of it is bold."""
        return all(line.bold for line in self.lines)


def passages(lines: Sequence[Run | Table]) -> list[Passage | Table]:
    """Return the lines and tables of one column as passages and tables, top to bottom."""
    texts = [line for line in lines if isinstance(line, Run)]
    usual = Leading(texts)
    right = max((line.x1 for line in texts), default=0.0)
    found: list[Passage | Table] = []
    for line in lines:
        last = found[-1] if found else None
        if isinstance(line, Table):
            found.append(line)
            continue
        kind = _kind(line)
        if isinstance(last, Passage):
            deliberate = _deliberate(last.lines[-1], line, right)
            if _goes_on(last, line, kind, usual.of(line), right, deliberate):
                last.breaks.append(_breaks(last.lines[-1], line, deliberate))
                last.lines.append(line)
                continue
        found.append(Passage(kind, [line]))
    return found


def _kind(line: Run) -> Kind:
    if line.mono:
        return "code"
    found = _ITEM.match(line.text)
    return "item" if found and found.end() < len(line.text) else "text"


def _goes_on(passage: Passage, line: Run, kind: Kind, usual: float, right: float, deliberate: bool) -> bool:
    """Whether a line of a kind belongs to the passage above it; deliberate: see _deliberate."""
    above = passage.lines[-1]
    size = above.size
    step = (line.y0 + line.y1 - (above.y0 + above.y1)) / 2
    if abs(line.size - size) > 0.07 * size or step < 0.3 * size:
        return False
    if passage.kind == "code" or line.mono:
        return passage.kind == "code" and line.mono and step < 2.6 * size
    if step > max(1.25 * usual, 1.1 * size) or (line.bold != above.bold and (passage.bold or line.bold)):
        return False
    ended = _ends_sentence(above)
    if kind == "item" and (deliberate or ended or _BULLET.match(line.text)):
        return False
    if passage.kind == "item":
        return line.x0 > passage.lines[0].x0 + 0.5 * line.size or not deliberate
    indented = line.x0 > above.x0 + 0.8 * line.size and len(passage.lines) > 1
    if indented and line.x1 <= right and ended:
        return False
    return not (ended and deliberate)


def _breaks(above: Run, line: Run, deliberate: bool) -> bool:
    """Whether a line that goes on with a passage was nevertheless begun on purpose, as in an address."""
    if "…" in above.text and _LISTED.search(above.text):
        return True
    return deliberate and not line.text[:1].islower() and not above.text.endswith((",", "-"))


def _deliberate(above: Run, line: Run, right: float) -> bool:
    """Whether the first word of a line would have fitted on the line above."""
    text, size = line.text, line.size
    letters = text.find(" ")
    width = (line.x1 - line.x0) * (letters if letters >= 0 else len(text)) / max(len(text), 1)
    return above.x1 + width + 0.6 * size < right - 0.5 * size


def _ends_sentence(line: Run) -> bool:
    return line.text.rstrip(_CLOSERS).endswith(_ENDS)


def item_text(text: str) -> str:
    """Return a list item's text with its mark as Markdown has it: "- " for bullets; numbers and letters stay."""
    found = _ITEM.match(text)
    if not found:
        return text
    return ("- " if found["bullet"] else found["count"] + " ") + text[found.end() :]


def unfinished(passage: Passage) -> bool:
    """Whether a passage ends in the middle of a sentence, so that the next column or page may go on with it."""
    return passage.kind != "code" and not _ends_sentence(passage.lines[-1])
