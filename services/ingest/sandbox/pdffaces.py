"""What PDFium says of the characters of a page: their faces and their boxes."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Collection
from dataclasses import dataclass, field

import pypdfium2.raw as raw

from services.ingest.sandbox.pdfframe import Box, Frame
from services.ingest.sandbox.pdfruns import Style

_BOLD = ("bold", "black", "heavy", "semibold", "demi")
_MONO = ("mono", "courier", "consol", "menlo", "typewriter", "cmtt", "fixed")
_FIXED_PITCH = 1
_FORCE_BOLD = 1 << 18
_BOLD_WEIGHT = 600


def address(function: object) -> int:
    """Return where a C function is."""
    return ctypes.cast(function, ctypes.c_void_p).value or 0  # type: ignore[arg-type]  # any C function will do


_text_object = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int)(address(raw.FPDFText_GetTextObject))
_font_of = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)(address(raw.FPDFTextObj_GetFont))
_loose_box = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)(
    address(raw.FPDFText_GetLooseCharBox)
)
_glyph_width = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_uint32, ctypes.c_float, ctypes.c_void_p)(
    address(raw.FPDFFont_GetGlyphWidth)
)
"""The functions of PDFium of the same names, with addresses as numbers, which can be compared and kept."""


@dataclass(slots=True)
class Face:
    """One font in one size.

    Args:
        style: turns, size, bold and mono.
        em: how wide a character is that is as wide as the font's size.
        heights: how far each character reaches above and below the baseline, in reading direction.
        widths: how far each character moves what follows it; 0 for a space.
        space: how wide a space is, or the gap that stands for one; None if it is not known yet.
        even: whether all characters seen so far have boxes of one height, as wide as they move what follows. PDFium
            gives such boxes unless a font does not say how high its lines are; then boxes end where the ink does.
    """

    style: Style
    em: float
    heights: dict[str, tuple[float, float]] = field(default_factory=dict)
    widths: dict[str, float] = field(default_factory=lambda: {" ": 0.0})
    space: float | None = None
    even: bool = True


_Known = tuple[str, bool, bool]
_Key = tuple[str | int, float, float, Style]


class Faces:
    """Faces met in a document; what one page tells of a face holds on the next."""

    def __init__(self) -> None:
        self._faces: dict[_Key, Face] = {}

    def of(self, name: str, font: int, size: float, width: float, style: Style) -> Face:
        """Return a face. Fonts without a name are told apart by their address, which holds for one page."""
        key = (name or font, size, width, style)
        found = self._faces.get(key)
        if found is None:
            found = self._faces[key] = Face(style, size * width)
        return found

    def forget_nameless(self) -> None:
        """Drop what holds for one page."""
        for key in [key for key in self._faces if isinstance(key[0], int)]:
            del self._faces[key]


class Characters:
    """The characters of one page, by their number.

    Args:
        page: the page's text.
        faces: those of the document.
    """

    def __init__(self, page: raw.FPDF_TEXTPAGE, faces: Faces) -> None:
        self.page = page
        self._faces = faces
        self._address = ctypes.cast(page, ctypes.c_void_p).value
        self._rect = raw.FS_RECTF()
        self._rect_at = ctypes.addressof(self._rect)
        self._matrix = raw.FS_MATRIX()
        self._matrix_at = ctypes.byref(self._matrix)
        self._x, self._y = ctypes.c_double(), ctypes.c_double()
        self._x_at, self._y_at = ctypes.byref(self._x), ctypes.byref(self._y)
        self._width = ctypes.c_float()
        self._width_at = ctypes.addressof(self._width)
        self._by_object: dict[int, Face] = {}
        self._by_height: dict[tuple[int | None, float], Face] = {}
        self._fonts: dict[int, _Known] = {}

    @property
    def objects(self) -> Collection[int]:
        """Addresses of the page's text objects that were met."""
        return self._by_object.keys()

    def text(self, count: int) -> str | None:
        """Return the text of all characters at once, or None if it does not have one code point for each of them."""
        if not count:
            return None
        buffer = (ctypes.c_ushort * (2 * count + 1))()
        units = raw.FPDFText_GetText(self.page, 0, count, buffer)
        text = bytes(buffer)[: 2 * max(units - 1, 0)].decode("utf-16-le", "replace")
        # Where PDFium leaves characters out or adds some, places in the text are not those of the characters.
        return text if len(text) == count and "\0" not in text and "\ufffd" not in text else None

    def object(self, index: int) -> int | None:
        """Return the address of the page's text object that shows a character, None for made-up ones."""
        found: int | None = _text_object(self._address, index)
        return found

    def box(self, index: int, turns: int = 0) -> Box:
        """Return a character's box, as high as its line, in reading direction."""
        _loose_box(self._address, index, self._rect_at)
        rect = self._rect
        if turns == 0:
            return rect.left, -rect.top, rect.right, -rect.bottom
        return Frame(turns).box(rect.left, rect.bottom, rect.right, rect.top)

    def baseline(self, index: int) -> float:
        """Return the height of the line on which a character stands, downwards."""
        raw.FPDFText_GetCharOrigin(self.page, index, self._x_at, self._y_at)
        return -self._y.value

    def advance(self, shown_by: int | None, char: str, face: Face) -> float:
        """Return how far a character moves what follows it, as its font says; 0 if it does not."""
        font = _font_of(shown_by) if shown_by else None
        if not font or not _glyph_width(font, ord(char), 1.0, self._width_at):
            return 0.0
        return self._width.value * face.em

    def is_hyphen(self, index: int) -> bool:
        """Whether PDFium found a character to divide a word at a line's end."""
        return bool(raw.FPDFText_IsHyphen(self.page, index) == 1)

    def face(self, index: int, shown_by: int | None) -> Face:
        """Return the face of a character; it is the same for all that one object of the page shows."""
        if shown_by is None:
            return self._face(index, None)
        found = self._by_object.get(shown_by)
        if found is None:
            found = self._by_object[shown_by] = self._face(index, shown_by)
        return found

    def upright(self, index: int, shown_by: int, box: Box) -> Face | None:
        """Return the face of a character that stands upright, whose box is known; None if it does not.

        Objects of one font whose boxes are as high as each other share a face. Boxes that end where the ink does say
        nothing of the kind.
        """
        found = self._by_object.get(shown_by)
        if found is None:
            key = (_font_of(shown_by), round(box[3] - box[1], 3))
            found = self._by_height.get(key)
            if found is None:
                found = self.face(index, shown_by)
                if found.even and not found.style[0]:
                    self._by_height[key] = found
            elif found.even:
                self._by_object[shown_by] = found
            else:
                del self._by_height[key]
                found = self.face(index, shown_by)
        return None if found.style[0] else found

    def forget(self, shown_by: int) -> None:
        """Ask anew for the face of an object's characters."""
        self._by_object.pop(shown_by, None)

    def _face(self, index: int, shown_by: int | None) -> Face:
        matrix = self._matrix
        raw.FPDFText_GetMatrix(self.page, index, self._matrix_at)
        turns = 0
        if matrix.b or matrix.c or matrix.a < 0:
            angle = raw.FPDFText_GetCharAngle(self.page, index)
            turns = -round(angle / (math.pi / 2)) % 4 if angle >= 0 else 0  # PDFium turns clockwise
        scale = math.hypot(matrix.c, matrix.d) or 1.0
        size = raw.FPDFText_GetFontSize(self.page, index) * scale
        font = _font_of(shown_by) if shown_by else None
        known = self._fonts.get(font) if font else None
        if known is None:
            known = self._font(index)
            if font:
                self._fonts[font] = known
        name, bold, mono = known
        style = turns, round(abs(size), 2) or 1.0, bold, mono
        width = math.hypot(matrix.a, matrix.b) / scale
        return self._faces.of(name, font or 0, size, width, style)

    def _font(self, index: int) -> _Known:
        """Return a font's name, and whether it is bold and of fixed width."""
        flags = ctypes.c_int()
        buffer = ctypes.create_string_buffer(128)
        length = raw.FPDFText_GetFontInfo(self.page, index, buffer, len(buffer), ctypes.byref(flags))
        name = buffer.value.decode("latin-1").lower() if length else ""
        kinds = flags.value if length else 0
        weight = raw.FPDFText_GetFontWeight(self.page, index)
        bold = weight >= _BOLD_WEIGHT or bool(kinds & _FORCE_BOLD) or any(word in name for word in _BOLD)
        return name, bold, bool(kinds & _FIXED_PITCH) or any(word in name for word in _MONO)
