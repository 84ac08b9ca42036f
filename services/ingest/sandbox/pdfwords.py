"""The characters of a PDF page, word by word, and where that does not do, one by one."""

from __future__ import annotations

import re

import pypdfium2.raw as raw

from services.ingest.core.layout.wording import SOFT
from services.ingest.sandbox.pdffaces import Characters, Face
from services.ingest.sandbox.pdfframe import Box
from services.ingest.sandbox.pdfruns import Runs

_WIDEST = 1.5
"""Widest mean character of a word, in font sizes; wider ones are looked at one by one."""

HYPHENS = "-\u00ad\u2010"
DIVIDES = "\x02\ufffe"
"""What PDFium writes for a hyphen that divides a word at a line's end."""

_WORD = re.compile(r"\S+|\s")


class Words:
    """Reads words into runs."""

    def __init__(self, chars: Characters, runs: Runs) -> None:
        self._chars = chars
        self._runs = runs
        self._box: Box = (0.0, 0.0, 0.0, 0.0)

    def read(self, start: int, text: str) -> None:
        """Read a line whose first character has the number start."""
        for found in _WORD.finditer(text):
            word = found.group()
            if word.isspace():
                self._runs.space()
            else:
                self._word(start + found.start(), word)

    def each(self, count: int) -> None:
        """Read the first count characters of a page one by one."""
        space = True
        high = 0
        for index in range(count):
            code = raw.FPDFText_GetUnicode(self._chars.page, index)
            if 0xD800 <= code < 0xDC00:
                high = code
                continue
            if 0xDC00 <= code < 0xE000 and high:
                code = 0x10000 + ((high - 0xD800) << 10) + code - 0xDC00
            high = 0
            char = chr(code) if code < 0x110000 else "\ufffd"
            if char in "\r\n":
                self._runs.end_line()
            elif char.isspace():
                self._runs.space()
            elif code:
                soft = char in DIVIDES or self._chars.is_hyphen(index)
                self._char(index, SOFT if soft else char, space)
            space = char.isspace()

    def _word(self, index: int, word: str) -> None:
        """Read a word: by its first and last character alone if one object of the page shows it on one line."""
        last = index + len(word) - 1
        shown_by = self._chars.object(index)
        self._char(index, self._shown(index, word[0]), True, shown_by)
        if last == index:
            return
        current = self._runs.current
        if current and current.turns == 0 and shown_by and shown_by == self._chars.object(last):
            box = self._whole(index, word, self._chars.face(index, shown_by))
            if box[0] <= box[2] < box[0] + _WIDEST * current.size * len(word):
                current.add(word[1:-1] + self._shown(last, word[-1]), box)
                return
        for place in range(1, len(word)):
            self._char(index + place, self._shown(index + place, word[place]), False)

    def _whole(self, index: int, word: str, face: Face) -> Box:
        """Return the box of a word that stands on one baseline, whose first character was just looked at."""
        base = self._chars.baseline(index)
        heights = face.heights
        first = self._box
        left, top, bottom = first[0], first[1] - base, first[3] - base
        heights[word[0]] = top, bottom
        for place, char in enumerate(word):
            found = heights.get(char)
            if found is None:
                box = self._chars.box(index + place)
                found = heights[char] = box[1] - base, box[3] - base
            if found[0] < top:
                top = found[0]
            if found[1] > bottom:
                bottom = found[1]
        return left, base + top, self._chars.box(index + len(word) - 1)[2], base + bottom

    def _shown(self, index: int, char: str) -> str:
        """Return a character, or SOFT for the hyphen of a word that was divided at a line's end."""
        if char in DIVIDES:
            return SOFT
        return SOFT if char in HYPHENS and self._chars.is_hyphen(index) else char

    def _char(self, index: int, char: str, starts_word: bool, shown_by: int | None = None) -> None:
        current = self._runs.current
        if starts_word or current is None:
            style = self._chars.face(index, shown_by).style
            if current is None or (current.turns, current.size, current.bold, current.mono) != style:
                current = self._runs.open(style, self._chars.box(index, style[0]))
        box = self._box = self._chars.box(index, current.turns)
        if current.text and not current.near(box):
            current = self._runs.begin((current.turns, current.size, current.bold, current.mono))
        current.add(char, box)
