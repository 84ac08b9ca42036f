"""Lines of one column as paragraphs, list items and pieces of code."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from services.ingest.core.layout.page import Leading, Run, Table
from services.ingest.core.layout.wording import settled

_ITEM = re.compile(
    r"(?P<bullet>[•◦▪‣●○■□]|[–—*·-](?=\s))\s*|(?P<count>\(?(?:\d{1,3}|[a-zA-Z]|[ivxIVX]{1,5})[.)]|\[\d{1,3}\])\s+"
)
_LISTED = re.compile(r"… ?\w{1,6}$")
_BULLET = re.compile(r"[•◦▪‣●○■□]")
_ENDS = (".", "!", "?", ":", ";", "…", "。", "！", "？")
_CLOSERS = "\"'”’»)]"

_MOST_TITLE_LINES = 3
"""Passages of more lines are no headings."""

Kind = Literal["text", "item", "code"]


class Passage(NamedTuple):
    """Lines that belong together.

    Args:
        kind: what they are.
        texts: what they say, top to bottom; those of code with their indentation. One text for all of them if they are
            too many for a heading and no word is divided at their ends.
        breaks: for each text but the first, whether it begins a line of its own within the passage.
        long: whether it has more lines than a heading may have.
        size: font size of the first one.
        bold: whether all of them are bold.
    """

    kind: Kind
    texts: Sequence[str]
    breaks: Sequence[bool]
    long: bool
    size: float
    bold: bool


@dataclass(slots=True)
class _Growing:
    """A passage to which lines are added."""

    kind: Kind
    lines: list[Run]
    breaks: list[bool] = field(default_factory=list)

    @property
    def bold(self) -> bool:
        """Whether all of it is bold."""
        return all(line.bold for line in self.lines)

    def passage(self) -> Passage:
        """Return it as it is now."""
        lines = self.lines
        breaks = self.breaks
        texts = _indented(lines) if self.kind == "code" else [line.text for line in lines]
        long = len(lines) > _MOST_TITLE_LINES
        if long and self.kind != "code":
            whole = settled(texts, breaks)
            if whole is not None:
                texts, breaks = [whole], []
        return Passage(self.kind, texts, breaks, long, lines[0].size, self.bold)


def passages(lines: Sequence[Run | Table]) -> list[Passage | Table]:
    """Return the lines and tables of one column as passages and tables, top to bottom."""
    texts = [line for line in lines if isinstance(line, Run)]
    usual = Leading(texts)
    right = max((line.x1 for line in texts), default=0.0)
    found: list[_Growing | Table] = []
    last: _Growing | None = None
    for line in lines:
        if isinstance(line, Table):
            found.append(line)
            last = None
            continue
        kind = _kind(line)
        if last:
            above = last.lines[-1]
            deliberate = _deliberate(above, line, right)
            if _goes_on(last, above, line, kind, usual, right, deliberate):
                last.breaks.append(_breaks(above, line, deliberate))
                last.lines.append(line)
                continue
        last = _Growing(kind, [line])
        found.append(last)
    return [part.passage() if isinstance(part, _Growing) else part for part in found]


def _kind(line: Run) -> Kind:
    if line.mono:
        return "code"
    found = _ITEM.match(line.text)
    return "item" if found and found.end() < len(line.text) else "text"


def _goes_on(
    passage: _Growing, above: Run, line: Run, kind: Kind, usual: Leading, right: float, deliberate: bool
) -> bool:
    """Whether a line of a kind belongs to the passage above it, whose last line is given; see _deliberate."""
    _, left, top, _, bottom, size, was_bold, _ = above
    text, x0, y0, x1, y1, own_size, bold, mono = line
    step = (y0 + y1 - (top + bottom)) / 2
    if abs(own_size - size) > 0.07 * size or step < 0.3 * size:
        return False
    if passage.kind == "code" or mono:
        return passage.kind == "code" and mono and step < 2.6 * size
    if (step > 1.1 * size and step > 1.25 * usual.of(line)) or (bold != was_bold and (passage.bold or bold)):
        return False
    if kind == "item" and (deliberate or _ends_sentence(above.text) or _BULLET.match(text)):
        return False
    if passage.kind == "item":
        return x0 > passage.lines[0].x0 + 0.5 * own_size or not deliberate
    indented = x0 > left + 0.8 * own_size and x1 <= right and len(passage.lines) > 1
    return not ((indented or deliberate) and _ends_sentence(above.text))


def _breaks(above: Run, line: Run, deliberate: bool) -> bool:
    """Whether a line that goes on with a passage was nevertheless begun on purpose, as in an address."""
    if "…" in above.text and _LISTED.search(above.text):
        return True
    return deliberate and not line.text[:1].islower() and not above.text.endswith((",", "-"))


def _deliberate(above: Run, line: Run, right: float) -> bool:
    """Whether the first word of a line would have fitted on the line above."""
    text, x0, _, x1, _, size, _, _ = line
    letters = text.find(" ")
    width = (x1 - x0) * (letters if letters >= 0 else len(text)) / (len(text) or 1)
    return above.x1 + width + 0.6 * size < right - 0.5 * size


def _ends_sentence(text: str) -> bool:
    return text.rstrip(_CLOSERS).endswith(_ENDS)


def _indented(lines: Sequence[Run]) -> list[str]:
    """Return the texts of lines of code with their indentation."""
    left = min(line.x0 for line in lines)
    texts = []
    for line in lines:
        width = line.width / max(len(line.text), 1)
        texts.append(" " * round((line.x0 - left) / width if width else 0) + line.text)
    return texts


def item_text(text: str) -> str:
    """Return a list item's text with its mark as Markdown has it: "- " for bullets; numbers and letters stay."""
    found = _ITEM.match(text)
    if not found:
        return text
    return ("- " if found["bullet"] else found["count"] + " ") + text[found.end() :]


def unfinished(passage: Passage) -> bool:
    """Whether a passage ends in the middle of a sentence, so that the next column or page may go on with it."""
    return passage.kind != "code" and not _ends_sentence(passage.texts[-1])
