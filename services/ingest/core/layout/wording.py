"""Lines as running text: words that were divided at line ends are joined."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cached_property

SOFT = "\x02"
"""What stands for a hyphen that the reader found to divide a word at a line's end."""

_WORD = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*")
_DIVIDED = re.compile(r"([^\W\d_]{1,40}(?:-[^\W\d_]{1,40})*)[-\u2010\x02]$")
_DIVIDERS = ("-", "\u2010", "\x02")
_FIRST = re.compile(r"^[^\W\d_]+(?:-[^\W\d_]+)*")
_MOST_WORDS = 200_000


class Vocabulary:
    """The words of a document that stand whole within a line, to tell "pump-house" from a divided "pumphouse".

    Args:
        lines: of the document; gone through once a word is found to be divided.
    """

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = lines

    @cached_property
    def _words(self) -> set[str]:
        found: set[str] = set()
        divided = False
        for line in self._lines:
            # The halves of a divided word are no words.
            whole = _FIRST.sub("", line, count=1) if divided else line
            divided = _divided(line) is not None
            whole = _DIVIDED.sub("", whole) if divided else whole
            if len(found) >= _MOST_WORDS:
                break
            found.update(_WORD.findall(whole.casefold()))
        return found

    def joint(self, above: str, below: str) -> tuple[str, str]:
        """Return the line above as it goes on in the line below, and what comes between them."""
        divided = _divided(above)
        if divided is None:
            return above, " "
        stem = above[:-1]
        following = _FIRST.match(below)
        if not following or not below[:1].islower():
            return stem, "-"
        whole = divided[1] + following[0]
        hyphened = divided[1] + "-" + following[0]
        if whole.casefold() in self._words:
            return stem, ""
        halves = divided[1].casefold() in self._words and following[0].casefold() in self._words
        return stem, "-" if halves or hyphened.casefold() in self._words else ""


def _divided(line: str) -> re.Match[str] | None:
    """Return the half of a word with which a line ends."""
    return _DIVIDED.search(line) if line.endswith(_DIVIDERS) else None


def flowed(lines: Sequence[str], breaks: Sequence[bool], vocabulary: Vocabulary) -> str:
    """Return lines as one text; breaks tells for each line but the first whether it stays on a line of its own."""
    whole = settled(lines, breaks)
    if whole is not None:
        return whole
    parts: list[str] = []
    above = lines[0]
    for line, kept in zip(lines[1:], breaks, strict=True):
        end, between = (above, "\n") if kept else vocabulary.joint(above, line)
        parts.extend((end, between))
        above = line
    return "".join([*parts, above])


def settled(lines: Sequence[str], breaks: Sequence[bool]) -> str | None:
    """Return lines as one text; None if a word is divided at the end of one, which only a vocabulary can join."""
    for line in lines[:-1]:
        if line.endswith(_DIVIDERS):
            return None
    if True not in breaks:
        return " ".join(lines)
    rest = zip(lines[1:], breaks, strict=True)
    return lines[0] + "".join(("\n" if kept else " ") + line for line, kept in rest)
