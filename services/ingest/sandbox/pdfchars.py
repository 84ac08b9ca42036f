"""The characters of a PDF page as runs of text."""

from __future__ import annotations

import ctypes
import math
from dataclasses import dataclass, field, replace

import pypdfium2.raw as raw

from services.ingest.core.layout.page import Rule, Run
from services.ingest.core.layout.wording import SOFT
from services.ingest.core.normal import one_line, printed

_GAP = 0.95
"""Widest space between words, in font sizes; wider ones divide runs."""

_BOLD = ("bold", "black", "heavy", "semibold", "demi")
_MONO = ("mono", "courier", "consol", "menlo", "typewriter", "cmtt", "fixed")
_FIXED_PITCH = 1
_FORCE_BOLD = 1 << 18
_BOLD_WEIGHT = 600

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Frame:
    """The direction in which a page is read, in quarter turns counter-clockwise of the page's own space."""

    turns: int = 0

    def box(self, left: float, bottom: float, right: float, top: float) -> Box:
        """Return a box of the page's space as x0, y0, x1, y1 in reading direction, y downwards."""
        if self.turns == 0:
            return left, -top, right, -bottom
        if self.turns == 1:
            return bottom, left, top, right
        if self.turns == 2:
            return -right, bottom, -left, top
        return -top, -right, -bottom, -left

    def moved(self, run: Run, page: Box) -> Run:
        """Return a run whose position counts from the page's upper left corner."""
        return replace(run, x0=run.x0 - page[0], x1=run.x1 - page[0], y0=run.y0 - page[1], y1=run.y1 - page[1])

    def rule(self, line: Box, page: Box) -> Rule:
        """Return a drawn line of the page's space as a rule in reading direction."""
        x0, y0, x1, y1 = self.box(*line)
        return Rule(x0 - page[0], y0 - page[1], x1 - page[0], y1 - page[1])


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
        a = self.box
        self.box = (min(a[0], box[0]), min(a[1], box[1]), max(a[2], box[2]), max(a[3], box[3]))


class _Reader:
    """Reads one page's characters through PDFium's C functions."""

    def __init__(self, page: raw.FPDF_TEXTPAGE) -> None:
        self._page = page
        self._rect = raw.FS_RECTF()
        self._matrix = raw.FS_MATRIX()
        self._flags = ctypes.c_int()
        self._name = ctypes.create_string_buffer(128)
        self._runs: list[_Growing] = []
        self._current: _Growing | None = None

    def read(self, count: int) -> list[_Growing]:
        """Return the runs of the page's first count characters."""
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
                self._char(
                    index, SOFT if code in (2, 0xFFFE) or raw.FPDFText_IsHyphen(self._page, index) == 1 else char, space
                )
            space = char.isspace()
        return self._runs

    def _char(self, index: int, char: str, starts_word: bool) -> None:
        raw.FPDFText_GetLooseCharBox(self._page, index, ctypes.byref(self._rect))
        rect = self._rect
        sides = (rect.left, rect.bottom, rect.right, rect.top)
        current = self._current
        if starts_word or current is None:
            style = self._style(index)
            if current is None or (current.turns, current.size, current.bold, current.mono) != style:
                turns, size, bold, mono = style
                box = Frame(turns).box(*sides)
                if current and current.turns == turns and self._near(current, box):
                    # One line in several faces stays one run; it is bold or of fixed width only if all of it is.
                    current.bold, current.mono = current.bold and bold, current.mono and mono
                    current.size = max(current.size, size)
                else:
                    current = None
                if current is None:
                    current = self._begin(turns, size, bold, mono)
        box = Frame(current.turns).box(*sides)
        if current.text and not self._near(current, box):
            current = self._begin(current.turns, current.size, current.bold, current.mono)
        current.add(char, box)

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

    def _style(self, index: int) -> tuple[int, float, bool, bool]:
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
        return turns, round(abs(size), 2) or 1.0, bold, mono


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
