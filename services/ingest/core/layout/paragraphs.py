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


@dataclass
class Passage:
    """Lines that belong together.

    Args:
        kind: what they are.
        lines: top to bottom.
        breaks: for each line but the first, whether it begins a line of its own within the passage.
    """

    kind: Literal["text", "item", "code"]
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
        elif isinstance(last, Passage) and _goes_on(last, line, usual.of(line), right):
            last.breaks.append(_breaks(last.lines[-1], line, right))
            last.lines.append(line)
        else:
            found.append(Passage(_kind(line), [line]))
    return found


def _kind(line: Run) -> Literal["text", "item", "code"]:
    if line.mono:
        return "code"
    found = _ITEM.match(line.text)
    return "item" if found and found.end() < len(line.text) else "text"


def _goes_on(passage: Passage, line: Run, usual: float, right: float) -> bool:
    """Whether a line belongs to the passage above it."""
    above = passage.lines[-1]
    step = line.middle - above.middle
    if abs(line.size - above.size) > 0.07 * above.size or step < 0.3 * above.size:
        return False
    if passage.kind == "code" or line.mono:
        return passage.kind == "code" and line.mono and step < 2.6 * above.size
    if step > max(1.25 * usual, 1.1 * above.size) or (line.bold != above.bold and (passage.bold or line.bold)):
        return False
    if _kind(line) == "item" and (_BULLET.match(line.text) or _ends_sentence(above) or _deliberate(above, line, right)):
        return False
    if passage.kind == "item":
        return line.x0 > passage.lines[0].x0 + 0.5 * line.size or not _deliberate(above, line, right)
    indented = line.x0 > above.x0 + 0.8 * line.size and len(passage.lines) > 1
    if indented and line.x1 <= right and _ends_sentence(above):
        return False
    return not (_ends_sentence(above) and _deliberate(above, line, right))


def _breaks(above: Run, line: Run, right: float) -> bool:
    """Whether a line that goes on with a passage was nevertheless begun on purpose, as in an address."""
    if "…" in above.text and _LISTED.search(above.text):
        return True
    if line.text[:1].islower() or above.text.endswith((",", "-")):
        return False
    return _deliberate(above, line, right)


def _deliberate(above: Run, line: Run, right: float) -> bool:
    """Whether the first word of a line would have fitted on the line above."""
    word = line.text.partition(" ")[0]
    width = line.width * len(word) / max(len(line.text), 1)
    return above.x1 + width + 0.6 * line.size < right - 0.5 * line.size


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
