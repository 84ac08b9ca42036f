"""The text of a PDF page as pdf_oxide shows it: pieces of lines, for pages on which nothing is out of the ordinary."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any

import pdf_oxide

from services.ingest.sandbox.pdfframe import Box
from services.ingest.sandbox.pdfium import edges

NAME = f"pdf_oxide {pdf_oxide.VERSION}"

_PAGE_SECONDS = 5.0
"""Processor time that opening a document or reading a page may take; a process that needs more is ended by SIGPROF."""

_MOST_PATHS = 200
_WIDE = 0.9
_WIDEST_SPACE = 0.6
_WIDEST_MEAN = 0.72
"""Widths of one character, of a space and of the mean character, in font sizes, above which gaps may divide a line."""

_STRAIGHT = frozenset(("move_to", "line_to", "rectangle", "close_path"))

pdf_oxide.disable_logging()

_order = attrgetter("sequence")

FaceKey = tuple[str, float, bool, bool]
"""A font's name, its size, and whether pdf_oxide takes it for bold and for one of fixed width."""


@dataclass(slots=True)
class Piece:
    """Text that stands on one baseline without a wide gap in it.

    Args:
        key: its face.
        text: without white space at its ends.
        x0: left edge, in points from the page's left edge.
        x1: right edge.
        base: its baseline, in points above the page's lower edge.
        size: of the font, in points.
        apart: whether white space stands between it and the piece before it.
    """

    key: FaceKey
    text: str
    x0: float
    x1: float
    base: float
    size: float
    apart: bool


class SpanDocument:
    """An opened PDF.

    Raises:
        ValueError: it cannot be opened, or not all of it.
    """

    def __init__(self, path: Path, pages: int) -> None:
        with guarded():
            self._document = pdf_oxide.PdfDocument(str(path))
            if self._document.page_count() != pages:
                raise ValueError("another number of pages")

    def pieces(self, index: int) -> list[Piece] | None:
        """Return a page's pieces in the order of the file; None if some stand turned or may have wide gaps.

        Raises:
            ValueError: the page cannot be read.
        """
        with guarded():
            spans = self._document.extract_spans(index)
        found: list[Piece] = []
        keys: dict[FaceKey, FaceKey] = {}
        apart = False
        spans.sort(key=_order)
        for span in spans:
            text: str = span.text
            shown = text.strip(" ")
            if not shown:
                apart = True
                continue
            piece = _piece(span, text, shown, apart or text[0] == " ", keys)
            if piece is None:
                return None
            found.append(piece)
            apart = text[-1] == " "
        return found

    def rules(self, index: int) -> list[Box] | None:
        """Return drawn lines and edges of drawn boxes in the page's own space; None if there are curves or many paths.

        Raises:
            ValueError: the page cannot be read.
        """
        with guarded():
            paths = self._document.extract_paths(index)
        if len(paths) > _MOST_PATHS:
            return None
        found: list[Box] = []
        for path in paths:
            steps = [step["op"] for step in path["operations"]]
            if not _STRAIGHT.issuperset(steps):
                return None
            left, bottom, width, height = path["bbox"]
            out = path["stroke_width"] if path["stroke_color"] else 0.0  # as far as PDFium's bounds reach
            found.extend(edges(left - out, bottom - out, left + width + out, bottom + height + out, len(steps)))
        return found


def _piece(span: Any, text: str, shown: str, apart: bool, keys: dict[FaceKey, FaceKey]) -> Piece | None:
    """Return a piece, or None for one that may not read as PDFium would have it.

    Args:
        keys: those of the page's faces, by what they are before their size is rounded.
    """
    box = span.bbox
    x, base, width, _ = box
    size: float = span.font_size
    widths: list[float] = span.char_widths
    widths.sort()  # it is a copy; sorting takes half as long as to look for the least and for the greatest
    letters = len(text)
    if (
        size <= 0
        or width <= 0
        or span.page_bbox != box
        or len(widths) != letters
        or widths[0] < 0
        or "  " in shown
        or width > _WIDEST_MEAN * size * (letters if letters > 4 else 4)
        or not shown.isprintable()
        or (widths[-1] > _WIDE * size and _has_wide_space(text, span.char_widths, _WIDEST_SPACE * size))
    ):
        return None
    x1 = x + width
    if len(shown) != len(text):
        widths = span.char_widths
        lead = len(text) - len(text.lstrip(" "))
        x1 = x + sum(widths[: lead + len(shown)])
        x += sum(widths[:lead])
    face = span.font_name, size, span.is_bold, span.is_monospace
    key = keys.get(face)
    if key is None:
        key = keys[face] = face[0], round(size, 2), face[2], face[3]
    return Piece(key, shown, x, x1, base, size, apart)


def _has_wide_space(text: str, widths: Sequence[float], widest: float) -> bool:
    return any(width > widest for char, width in zip(text, widths, strict=True) if char == " ")


@contextmanager
def guarded(seconds: float = _PAGE_SECONDS) -> Iterator[None]:
    """Limit the processor time of a call, and have its errors be ValueError."""
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    except Exception as error:  # a stranger's document may break a reader in any way
        raise ValueError(f"pdf_oxide: {error}") from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # what is raised for a panic in Rust is no Exception
            raise
        raise ValueError(f"pdf_oxide: {error}") from error
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
