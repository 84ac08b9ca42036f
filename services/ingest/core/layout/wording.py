"""Lines as running text: words that were divided at line ends are joined."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

SOFT = "\x02"
"""What stands for a hyphen that the reader found to divide a word at a line's end."""

_WORD = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*")
_DIVIDED = re.compile(r"([^\W\d_]{1,40}(?:-[^\W\d_]{1,40})*)[-\u2010\x02]$")
_FIRST = re.compile(r"^[^\W\d_]+(?:-[^\W\d_]+)*")
_MOST_WORDS = 200_000


class Vocabulary:
    """The words of a document that stand whole within a line, to tell "pump-house" from a divided "pumphouse"."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._words: set[str] = set()
        divided = False
        for line in lines:
            # The halves of a divided word are no words.
            whole = _FIRST.sub("", line, count=1) if divided else line
            divided = bool(_DIVIDED.search(line))
            whole = _DIVIDED.sub("", whole) if divided else whole
            if len(self._words) < _MOST_WORDS:
                self._words.update(word.casefold() for word in _WORD.findall(whole))

    def joint(self, above: str, below: str) -> tuple[str, str]:
        """Return the line above as it goes on in the line below, and what comes between them."""
        divided = _DIVIDED.search(above)
        if not divided:
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


def flowed(lines: Sequence[str], breaks: Sequence[bool], vocabulary: Vocabulary) -> str:
    """Return lines as one text; breaks tells for each line but the first whether it stays on a line of its own."""
    parts: list[str] = []
    above = lines[0]
    for line, kept in zip(lines[1:], breaks, strict=True):
        end, between = (above, "\n") if kept else vocabulary.joint(above, line)
        parts.extend((end, between))
        above = line
    return "".join([*parts, above])
