"""The lines of a PDF page, each by as few of its characters as tell where it stands.

PDFium is asked about one character at a time, and a page has thousands. Of a line that stands upright in known faces it
is enough to look where its pieces begin and end: the widths of the characters between tell how much white space is left
for the gaps between words, and so whether one of them can be wide enough to divide the line.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import pypdfium2.raw as raw

from services.ingest.core.layout.wording import SOFT
from services.ingest.sandbox.pdffaces import Characters, Face
from services.ingest.sandbox.pdfframe import Box
from services.ingest.sandbox.pdfruns import BACK, GAP, Runs, Style
from services.ingest.sandbox.pdfwords import DIVIDES, HYPHENS, Words

_LINE = re.compile(r"[^\r\n\x02\ufffe]+[\x02\ufffe]?|[\x02\ufffe]")
_BLANK = re.compile(r"\s")
_WORD = re.compile(r"[^ ]+")
_SPACES = re.compile(" +")
_HYPHEN = re.compile(f"[{HYPHENS}{DIVIDES}]")
_LEAST_SPACE = 0.12
"""Narrowest space between two words, in font sizes."""

_SAME = 0.05
"""By how much such a line may be longer."""

_KERNED = 0.25
"""By how much kerning may shorten a line that is held to have spaces of the font's width, in font sizes."""

_ALIKE = 0.6
"""Widest space of a justified line, in font sizes."""

_LEVEL = 0.01
"""By how much heights may differ that are held to be the same, in points."""


@dataclass(slots=True)
class _Piece:
    """A part of a line that is set in one face.

    Args:
        face: the face.
        style: that of the word in which it begins.
        start: number of its first character.
        text: what it says.
        box: that of its first character; of all of it once it is measured.
        shown_by: address of the object that shows its first character.
    """

    face: Face
    style: Style
    start: int
    text: str
    box: Box
    shown_by: int


class Lines:
    """Reads lines into runs."""

    def __init__(self, chars: Characters, runs: Runs) -> None:
        self._chars = chars
        self._runs = runs
        self._words = Words(chars, runs)

    def read(self, count: int) -> None:
        """Read the page's first count characters."""
        text = self._chars.text(count)
        if text is None:
            self._words.each(count)
            return
        end = 0
        for found in _LINE.finditer(text):
            line, start = found.group(), found.start()
            if start > end:
                self._runs.end_line()
            end = found.end()
            if not line.isascii():
                line = _BLANK.sub(" ", line)
            shown = line.strip(" ")
            if line[0] == " ":
                self._runs.space()
                start += line.index(shown)
            if shown:
                self._line(start, shown)
                if line[-1] == " ":
                    self._runs.space()

    def _line(self, start: int, text: str) -> None:
        pieces = self._pieces(start, text)
        if pieces is None or not all(map(self._measure, pieces)):
            for piece in pieces or ():
                self._chars.forget(piece.shown_by)
            self._words.read(start, text)
            return
        end = start
        for piece in pieces:
            for _ in range(piece.start - end):
                self._runs.space()
            run = self._runs.open(piece.style, piece.box)
            run.add(self._shown(piece), piece.box)
            end = piece.start + len(piece.text)

    def _pieces(self, start: int, text: str) -> list[_Piece] | None:
        """Return the parts of a line that one object shows each; None if one of them does not stand upright."""
        shown_by = self._chars.object(start)
        if shown_by == self._chars.object(start + len(text) - 1):
            piece = self._piece(start, text, shown_by)
            return [piece] if piece else None
        found: list[_Piece] = []
        for word in _WORD.finditer(text):
            first = begun = start + word.start()
            end = start + word.end()
            while begun < end:
                shown_by = self._chars.object(begun)
                upto = self._upto(begun, end, shown_by)
                last = found[-1] if found else None
                if last and last.shown_by == shown_by and (begun > first or last.style == last.face.style):
                    last.text = text[last.start - start : upto - start]
                else:
                    fresh = self._piece(begun, text[begun - start : upto - start], shown_by)
                    if fresh is None:
                        return None
                    if last and begun > first:  # a word is in the style in which it begins
                        fresh.style = last.style
                    found.append(fresh)
                begun = upto
        return found

    def _upto(self, begun: int, end: int, shown_by: int | None) -> int:
        """Return one past the last character before end that the same object shows."""
        if self._chars.object(end - 1) == shown_by:
            return end
        low, high = begun + 1, end - 1
        while low < high:
            middle = (low + high) // 2
            if self._chars.object(middle) == shown_by:
                low = middle + 1
            else:
                high = middle
        return low

    def _piece(self, start: int, text: str, shown_by: int | None) -> _Piece | None:
        """Return a piece that stands upright; None for others."""
        if shown_by is None:
            return None
        box = self._chars.box(start)
        face = self._chars.upright(start, shown_by, box)
        return _Piece(face, face.style, start, text, box, shown_by) if face else None

    def _measure(self, piece: _Piece) -> bool:
        """Find a piece's box; return whether it is one run: on one line, without a gap that divides it."""
        face, text = piece.face, piece.text
        x0, y0, _, y1 = piece.box
        last = self._chars.box(piece.start + len(text) - 1)
        try:
            used = sum(map(face.widths.__getitem__, text))
        except KeyError:
            self._learn(piece)
            used = sum(map(face.widths.__getitem__, text))
        if not face.even:
            base = self._chars.baseline(piece.start)
            if abs(self._chars.baseline(piece.start + len(text) - 1) - base) > _LEVEL:
                return False
            reach = [face.heights[char] for char in set(text) if char != " "]
            y0, y1 = base + min(reach)[0], base + max(below for _, below in reach)
        elif abs(last[1] - y0) > _LEVEL or abs(last[3] - y1) > _LEVEL:
            return False
        piece.box = x0, y0, last[2], y1
        return self._close(piece, last[2] - x0 - used)

    def _learn(self, piece: _Piece) -> None:
        """Look at characters that are new in a face."""
        face, text = piece.face, piece.text
        _, top, _, bottom = piece.box
        for char in set(text).difference(face.widths):
            index = piece.start + text.index(char)
            x0, y0, x1, y1 = self._chars.box(index)
            if face.even and (abs(y0 - top) > _LEVEL or abs(y1 - bottom) > _LEVEL):
                face.even = False
                face.widths = {" ": 0.0}
                self._learn(piece)
                return
            face.widths[char] = x1 - x0
            if not face.even:
                base = self._chars.baseline(index)
                face.heights[char] = y0 - base, y1 - base
                face.widths[char] = self._chars.advance(piece.shown_by, char, face) or x1 - x0

    def _close(self, piece: _Piece, white: float) -> bool:
        """Whether no gap of a piece divides it; white is what its characters leave of its width."""
        text, size = piece.text, piece.face.style[1]
        if white < 0.5 * BACK * size:
            return False
        gaps = _gaps(text)
        if self._narrow(piece, white, text, gaps):
            return True
        if gaps < 2:
            return False
        words = [word.start() for word in _WORD.finditer(text)]
        if self._alike(piece, words, white / gaps):
            return True
        return self._halves(piece, words, (0, len(words)), (piece.box[0], piece.box[2]))

    def _narrow(self, piece: _Piece, white: float, text: str, gaps: int) -> bool:
        """Whether no gap of a part of a piece can divide it, all of which together are so wide.

        Either so little is left for one of them when the others are as narrow as spaces get, or all of them are as wide
        together as so many of the font's spaces, where kerning may take away a little.
        """
        size = piece.face.style[1]
        if white - max(gaps - 1, 0) * _LEAST_SPACE * size < GAP * size:
            return True
        if gaps != text.count(" "):
            return False
        return -_KERNED * size < white - gaps * self._space(piece) < _SAME * size

    def _space(self, piece: _Piece) -> float:
        """Return how wide a space is in the piece's face: the font's, or a gap where the file has none."""
        face = piece.face
        if face.space is None:
            index = piece.start + piece.text.index(" ")
            made_up = raw.FPDFText_IsGenerated(self._chars.page, index) == 1
            left, right = self._chars.box(index - 1)[2], self._chars.box(index + 1)[0]
            x0, _, x1, _ = self._chars.box(index)
            width = right - left if made_up else x1 - x0
            face.space = width if width < _ALIKE * face.style[1] else 0.0
        return face.space

    def _alike(self, piece: _Piece, words: list[int], gap: float) -> bool:
        """Whether all gaps of a piece are as wide as each other, as in a justified line, and narrow.

        One look tells: if some gaps were wide and the others narrow, a word that has a share of the gaps before it
        which no whole number of them can have would not stand where equal gaps put it.
        """
        count, size = len(words) - 1, piece.face.style[1]
        if gap > _ALIKE * size:
            return False
        before = next(place for place in range(count // 2, 0, -1) if math.gcd(place, count) == 1)
        place = words[before]
        used = sum(map(piece.face.widths.__getitem__, piece.text[:place]))
        off = self._chars.box(piece.start + place)[0] - piece.box[0] - used - before * gap
        return abs(off) < 0.4 * (GAP - _ALIKE) * size / count

    def _halves(self, piece: _Piece, words: list[int], part: tuple[int, int], ends: tuple[float, float]) -> bool:
        """Whether no gap of a piece's part divides it; where one may, a look at the middle tells of each half.

        Args:
            words: where in the text each word begins.
            part: the first of its words, and the one after its last.
            ends: where on the page these two begin; for the last part, where the piece ends.
        """
        first, last = part
        begun, end = ends
        text = piece.text[words[first] : words[last] if last < len(words) else None]
        white = end - begun - sum(map(piece.face.widths.__getitem__, text))
        if self._narrow(piece, white, text, _gaps(text)):
            return True
        if last - first < 2:
            return False
        middle = (first + last) // 2
        between = self._chars.box(piece.start + words[middle])[0]
        return self._halves(piece, words, (first, middle), (begun, between)) and self._halves(
            piece, words, (middle, last), (between, end)
        )

    def _shown(self, piece: _Piece) -> str:
        """Return a piece's text with SOFT for hyphens that divide a word at a line's end."""
        text = piece.text
        if text.isascii() and "-" not in text and text[-1] != SOFT:
            return text
        for found in _HYPHEN.finditer(text):
            place = found.start()
            if text[place] in DIVIDES or self._chars.is_hyphen(piece.start + place):
                text = text[:place] + SOFT + text[place + 1 :]
        return text


def _gaps(text: str) -> int:
    return len(_SPACES.findall(text)) if "  " in text else text.count(" ")
