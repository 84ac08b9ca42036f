"""The characters of a PDF page as runs of text."""

from __future__ import annotations

import ctypes
import math
import re
from dataclasses import dataclass, field

import pypdfium2.raw as raw

from services.ingest.core.layout.page import Run
from services.ingest.core.layout.wording import SOFT
from services.ingest.core.normal import one_line, printed
from services.ingest.sandbox.pdfframe import Box, Frame

_GAP = 0.95
"""Widest space between words, in font sizes; wider ones divide runs."""

_BOLD = ("bold", "black", "heavy", "semibold", "demi")
_MONO = ("mono", "courier", "consol", "menlo", "typewriter", "cmtt", "fixed")
_FIXED_PITCH = 1
_FORCE_BOLD = 1 << 18
_BOLD_WEIGHT = 600

_WIDEST = 1.5
"""Widest mean character of a word, in font sizes; wider ones are looked at one by one."""

_HYPHENS = "-\u00ad\u2010"
_WORD = re.compile(r"[\r\n]|\S+|\s")

_TEXT_OBJECT = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int)(
    ctypes.cast(raw.FPDFText_GetTextObject, ctypes.c_void_p).value or 0
)
"""FPDFText_GetTextObject with addresses as numbers."""

_Style = tuple[int, float, bool, bool]


@dataclass
class Chars:
    """What the characters of a page make.

    Args:
        frame: the direction in which most of them are read.
        runs: those in that direction, in the order of the file, not yet moved to the page's corner.
        turned: the others, as texts.
    """

    frame: Frame
    runs: list[Run] = field(default_factory=list)
    turned: list[str] = field(default_factory=list)


@dataclass
class _Growing:
    """A run that is being read."""

    turns: int
    size: float
    bold: bool
    mono: bool
    text: list[str] = field(default_factory=list)
    box: Box = (math.inf, math.inf, -math.inf, -math.inf)

    def add(self, char: str, box: Box) -> None:
        self.text.append(char)
        x0, y0, x1, y1 = self.box
        left, top, right, bottom = box
        self.box = (
            left if left < x0 else x0,
            top if top < y0 else y0,
            right if right > x1 else x1,
            bottom if bottom > y1 else y1,
        )


@dataclass(slots=True)
class _Face:
    """What PDFium says of the characters that one operator of a page shows.

    Args:
        style: turns, size, bold and mono.
        heights: how far each character reaches above and below the baseline, in reading direction; shared by all
            operators that show the same font in the same size.
    """

    style: _Style
    heights: dict[str, tuple[float, float]]


class _Reader:
    """Reads one page's characters through PDFium's C functions."""

    def __init__(self, page: raw.FPDF_TEXTPAGE) -> None:
        self._page = page
        self._rect = raw.FS_RECTF()
        self._matrix = raw.FS_MATRIX()
        self._rect_at = ctypes.byref(self._rect)
        self._flags = ctypes.c_int()
        self._name = ctypes.create_string_buffer(128)
        self._runs: list[_Growing] = []
        self._current: _Growing | None = None
        self._box: Box = (0.0, 0.0, 0.0, 0.0)
        self._faces: dict[int, _Face] = {}
        self._heights: dict[tuple[str, float, _Style], dict[str, tuple[float, float]]] = {}
        self._address = ctypes.cast(page, ctypes.c_void_p).value
        self._x, self._y = ctypes.c_double(), ctypes.c_double()
        self._x_at, self._y_at = ctypes.byref(self._x), ctypes.byref(self._y)

    def read(self, count: int) -> list[_Growing]:
        """Return the runs of the page's first count characters."""
        text = self._text(count)
        if text is None:
            return self._each(count)
        for found in _WORD.finditer(text):
            word = found.group()
            if word in "\r\n":
                self._current = None
            elif word.isspace():
                if self._current:
                    self._current.text.append(" ")
            else:
                self._word(found.start(), word)
        return self._runs

    def _text(self, count: int) -> str | None:
        """Return the text of all characters at once, or None if it does not have one code point for each of them."""
        if not count:
            return None
        buffer = (ctypes.c_ushort * (2 * count + 1))()
        units = raw.FPDFText_GetText(self._page, 0, count, buffer)
        text = bytes(buffer)[: 2 * max(units - 1, 0)].decode("utf-16-le", "replace")
        # Where PDFium leaves characters out or adds some, places in the text are not those of the characters.
        return text if len(text) == count and "\0" not in text and "\ufffd" not in text else None

    def _word(self, index: int, word: str) -> None:
        """Read a word: by its first and last character alone if one operator of the page shows it on one line."""
        last = index + len(word) - 1
        shown_by = self._object(index)
        self._char(index, self._shown(index, word[0]), True, shown_by)
        if last == index:
            return
        current = self._current
        if current and current.turns == 0 and shown_by and shown_by == self._object(last):
            box = self._whole(index, word, self._faces[shown_by].heights)
            if box[0] <= box[2] < box[0] + _WIDEST * current.size * len(word):
                current.add(word[1:-1] + self._shown(last, word[-1]), box)
                return
        for place in range(1, len(word)):
            self._char(index + place, self._shown(index + place, word[place]), False)

    def _whole(self, index: int, word: str, heights: dict[str, tuple[float, float]]) -> Box:
        """Return the box of a word that stands on one baseline, whose first character was just looked at."""
        raw.FPDFText_GetCharOrigin(self._page, index, self._x_at, self._y_at)
        base = -self._y.value
        first = self._box
        left, top, bottom = first[0], first[1] - base, first[3] - base
        heights[word[0]] = top, bottom
        for place, char in enumerate(word):
            found = heights.get(char)
            if found is None:
                box = self._loose(index + place, 0)
                found = heights[char] = box[1] - base, box[3] - base
            if found[0] < top:
                top = found[0]
            if found[1] > bottom:
                bottom = found[1]
        return left, base + top, self._loose(index + len(word) - 1, 0)[2], base + bottom

    def _object(self, index: int) -> int | None:
        """Return the address of the page's text object that shows a character, None for made-up ones."""
        found: int | None = _TEXT_OBJECT(self._address, index)
        return found

    def _shown(self, index: int, char: str) -> str:
        """Return a character, or SOFT for the hyphen of a word that was divided at a line's end."""
        if char in "\x02\ufffe":
            return SOFT
        return SOFT if char in _HYPHENS and raw.FPDFText_IsHyphen(self._page, index) == 1 else char

    def _each(self, count: int) -> list[_Growing]:
        space = True
        high = 0
        for index in range(count):
            code = raw.FPDFText_GetUnicode(self._page, index)
            if 0xD800 <= code < 0xDC00:
                high = code
                continue
            if 0xDC00 <= code < 0xE000 and high:
                code = 0x10000 + ((high - 0xD800) << 10) + code - 0xDC00
            high = 0
            char = chr(code) if code < 0x110000 else "\ufffd"
            if char in "\r\n":
                self._current = None
            elif char.isspace():
                if self._current:
                    self._current.text.append(" ")
            elif code:
                soft = code in (2, 0xFFFE) or raw.FPDFText_IsHyphen(self._page, index) == 1
                self._char(index, SOFT if soft else char, space)
            space = char.isspace()
        return self._runs

    def _char(self, index: int, char: str, starts_word: bool, shown_by: int | None = None) -> None:
        current = self._current
        if starts_word or current is None:
            style = self._style(index, shown_by)
            if current is None or (current.turns, current.size, current.bold, current.mono) != style:
                turns, size, bold, mono = style
                box = self._loose(index, turns)
                if current and current.turns == turns and self._near(current, box):
                    # One line in several faces stays one run; it is bold or of fixed width only if all of it is.
                    current.bold, current.mono = current.bold and bold, current.mono and mono
                    current.size = max(current.size, size)
                else:
                    current = None
                if current is None:
                    current = self._begin(turns, size, bold, mono)
        box = self._box = self._loose(index, current.turns)
        if current.text and not self._near(current, box):
            current = self._begin(current.turns, current.size, current.bold, current.mono)
        current.add(char, box)

    def _loose(self, index: int, turns: int) -> Box:
        """Return a character's box, as high as its line, in reading direction."""
        raw.FPDFText_GetLooseCharBox(self._page, index, self._rect_at)
        rect = self._rect
        if turns == 0:
            return rect.left, -rect.top, rect.right, -rect.bottom
        return Frame(turns).box(rect.left, rect.bottom, rect.right, rect.top)

    def _begin(self, turns: int, size: float, bold: bool, mono: bool) -> _Growing:
        self._current = _Growing(turns, size, bold, mono)
        self._runs.append(self._current)
        return self._current

    def _near(self, run: _Growing, box: Box) -> bool:
        """Whether a character goes on in a run's line without a wide gap and without going back."""
        if not run.text or run.box[0] == math.inf:
            return True
        overlap = min(run.box[3], box[3]) - max(run.box[1], box[1])
        beside = overlap > 0.4 * min(box[3] - box[1], run.box[3] - run.box[1])
        return beside and -1.0 * run.size < box[0] - run.box[2] < _GAP * run.size

    def _style(self, index: int, shown_by: int | None) -> _Style:
        """Return turns, size, bold and mono of a character; they are the same for all that one operator shows."""
        if shown_by is None:
            return self._face(index).style
        found = self._faces.get(shown_by)
        if found is None:
            found = self._faces[shown_by] = self._face(index)
        return found.style

    def _face(self, index: int) -> _Face:
        angle = raw.FPDFText_GetCharAngle(self._page, index)
        turns = -round(angle / (math.pi / 2)) % 4 if angle >= 0 else 0  # PDFium turns clockwise
        raw.FPDFText_GetMatrix(self._page, index, ctypes.byref(self._matrix))
        scale = math.hypot(self._matrix.c, self._matrix.d) or 1.0
        size = raw.FPDFText_GetFontSize(self._page, index) * scale
        length = raw.FPDFText_GetFontInfo(self._page, index, self._name, len(self._name), ctypes.byref(self._flags))
        name = self._name.value.decode("latin-1").lower() if length else ""
        flags = self._flags.value if length else 0
        weight = raw.FPDFText_GetFontWeight(self._page, index)
        bold = weight >= _BOLD_WEIGHT or bool(flags & _FORCE_BOLD) or any(word in name for word in _BOLD)
        mono = bool(flags & _FIXED_PITCH) or any(word in name for word in _MONO)
        style = turns, round(abs(size), 2) or 1.0, bold, mono
        return _Face(style, self._heights.setdefault((name, size, style), {}))


def read_chars(page: raw.FPDF_TEXTPAGE, count: int) -> Chars:
    """Return the characters of a page as runs."""
    grown = [run for run in _Reader(page).read(count) if "".join(run.text).strip()]
    letters = [0, 0, 0, 0]
    for run in grown:
        letters[run.turns] += len(run.text)
    frame = Frame(max(range(4), key=lambda turns: letters[turns]))
    chars = Chars(frame)
    seen: set[tuple[str, int, int]] = set()
    for run in grown:
        text = printed("".join(run.text).replace(SOFT, "\ue0ff")).replace("\ue0ff", SOFT)
        text = " ".join(text.split(" ")).strip() if run.mono else one_line(text)
        # A face made bold by printing it twice gives every run twice.
        key = (text, round(run.box[0]), round(run.box[1]))
        if not text or key in seen:
            continue
        seen.add(key)
        if run.turns == frame.turns:
            chars.runs.append(Run(text, *run.box, size=run.size, bold=run.bold, mono=run.mono))
        else:
            chars.turned.append(text)
    return chars
