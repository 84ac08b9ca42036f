"""Marks for what striprtf leaves out of an RTF: cells, rows and headings.

striprtf gives plain text. Characters that Unicode sets aside as no characters are put behind the control words that
begin or end something, and come out where those stood, unless they stood in a part that is no text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal, NamedTuple

CELL, ROW, BEGINS, PLAIN = "\ufdd0", "\ufdd1", "\ufdd2", "\ufdd3"
_LEVELS = "\ufdd4\ufdd5\ufdd6\ufdd7\ufdd8\ufdd9\ufdda\ufddb\ufddc"
_MARK = {"cell": CELL, "row": ROW, "trowd": BEGINS, "pard": PLAIN}
_WORD = re.compile(r"\\\\|\\(?:(cell|row|trowd|pard)(?![a-z\d])|(outlinelevel|s)(\d{1,5})(?!\d)) ?")
_HEADING = re.compile(r"\\s(\d{1,5})\b[^;{}]{0,2000}?\s(?:heading|Heading) ([1-9]);")
_BYTES = re.compile(r"\\bin(?![a-zA-Z])")
_LONGEST_STYLES = 200_000
"""Characters in which the styles are looked for."""

_TOKENS = re.compile(f"([\n{CELL}{ROW}{BEGINS}{PLAIN}{_LEVELS}])")


class Part(NamedTuple):
    """A paragraph, a heading or a row of a table.

    Args:
        kind: which of them.
        level: of a heading, from 1.
        cells: the texts of a row's cells; of others, their text alone.
    """

    kind: Literal["paragraph", "heading", "row"]
    level: int
    cells: list[str]


def marked(source: str) -> str:
    """Return an RTF with marks; one that holds bytes as they are, by length, comes back as it is."""
    if _BYTES.search(source):
        return source
    begun = source.find("\\stylesheet")
    styles = dict(_HEADING.findall(source[begun : begun + _LONGEST_STYLES])) if begun >= 0 else {}

    def mark(found: re.Match[str]) -> str:
        word, property_, number = found.groups()
        if word:
            return found[0] + _MARK[word]
        if not property_:  # a backslash that is text
            return found[0]
        level = int(styles.get(number, 0)) if property_ == "s" else int(number) + 1
        return found[0] + _LEVELS[level - 1] if 0 < level <= len(_LEVELS) else found[0]

    return _WORD.sub(mark, source)


def parts(text: str) -> Iterator[Part]:
    """Yield what striprtf made of a marked RTF, in order."""
    held: list[str] = []
    cells: list[str] = []
    level, in_row = 0, False
    # striprtf writes what stands for a cell and a row in text of its own.
    text = text.replace("|" + CELL, CELL).replace("\n" + ROW, ROW)
    for sign in [*_TOKENS.split(text), "\n"]:
        if sign == CELL:
            cells.append("".join(held))
            held, in_row = [], True
        elif sign == ROW:
            if cells:
                yield Part("row", 0, cells)
            cells, in_row = [], False
        elif sign == PLAIN:
            level = 0
        elif sign in _LEVELS and sign:
            level = _LEVELS.index(sign) + 1
        elif sign == "\n" and (cells or in_row):
            held.append(" ")
        elif sign not in ("\n", BEGINS):
            held.append(sign)
        else:
            if "".join(held).strip():
                yield Part("heading" if level else "paragraph", level, ["".join(held)])
            held = []
            in_row = sign == BEGINS
    if cells or "".join(held).strip():
        yield Part("paragraph", 0, [" ".join([*cells, "".join(held)])])
