"""Pages of plain text, read by pdf_oxide at a fraction of what PDFium costs.

PDFium stays the measure. It reads the first pages; where pdf_oxide shows the same lines in the same places, the faces
in which they are set are known: how high PDFium's boxes are, whether they are bold. A page all of whose faces are
known, and on which nothing is out of the ordinary, is left to pdf_oxide. Now and then such a page is read by both;
should they differ once, PDFium reads all that is left of the document.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from services.ingest.core.layout.page import Page, Rule, Run
from services.ingest.core.layout.wording import SOFT
from services.ingest.sandbox.pdfchars import cleaned
from services.ingest.sandbox.pdfframe import Box, Frame
from services.ingest.sandbox.pdfruns import BACK, GAP, Style
from services.ingest.sandbox.pdfspans import FaceKey, Piece, SpanDocument

_PATIENCE = 3
"""So many pages may be looked at in vain before the document is left to PDFium."""

_CHECK = 32
"""Of the pages that could be left to pdf_oxide the first, the sixteenth and each so many are read by both."""

_EARLY = (1, 16)
_NEAR = 0.1
"""By how much places may differ, in points; edges on the right, in font sizes."""

_BESIDE = 0.6
"""Baselines closer than this, in font sizes, may be those of one line."""

_LEVEL = 0.05
"""By how much the baselines of one line differ at most, in points."""

_UNSURE = 0.1
_NO_SPACE, _SPACE = 0.05, 0.3
"""Gaps between pieces below the one hold no space, those above the other hold one, in font sizes."""

_LEADER = 5
"""Fewer dots in a line of ASCII are no leader, and nothing is to be cleaned."""

Size = tuple[float, float]
"""Width and height of a page, in points."""


@dataclass(slots=True)
class _Face:
    """What PDFium makes of a face.

    Args:
        style: its turns, size, and whether it is bold and of fixed width.
        above: how far its boxes reach above the baseline, in points, below 0.
        below: how far they reach below it.
        ends: by how much the last character of a line reaches further to the right, where it does.
        chars: those beyond ASCII that were seen.
    """

    style: Style
    above: float
    below: float
    ends: dict[str, float] = field(default_factory=dict)
    chars: set[str] = field(default_factory=set)

    def like(self, other: _Face) -> bool:
        """Whether another line in this face has boxes of the same height, and the same style."""
        near = abs(self.above - other.above) < _NEAR and abs(self.below - other.below) < _NEAR
        return near and self.style == other.style


class PlainPages:
    """Reads the plain pages of a document.

    Args:
        path: the document.
        pages: how many PDFium finds in it.
        area: tells left, bottom, right and top of a page, as PDFium has them.

    Raises:
        ValueError: pdf_oxide cannot open the document, or finds another number of pages.
    """

    def __init__(self, path: Path, pages: int, area: Callable[[int], Box]) -> None:
        self._document = SpanDocument(path, pages)
        self._area = area
        self._areas: dict[Size, Box] = {}
        self._faces: dict[FaceKey, _Face | None] = {}
        self._lines: list[list[Piece]] | None = None
        self._rules: Sequence[Box] | None = None
        self._could = 0
        self._patience = _PATIENCE

    @property
    def hopeless(self) -> bool:
        """Whether there is no use in going on."""
        return self._patience <= 0

    def page(self, index: int, size: Size) -> Page | None:
        """Return a page, or None if PDFium has to read it; learn must then be told what it has read."""
        self._lines = None
        try:
            pieces = self._document.pieces(index)
            self._rules = self._document.rules(index) if pieces else None
        except ValueError:
            self._patience = 0
            return None
        if pieces is not None and (self._rules is not None or not pieces):
            self._lines = lines_of(pieces)
        if not self._lines or size not in self._areas or not self._known():
            return None
        self._could += 1
        if self._could in _EARLY or self._could % _CHECK == 0:
            return None
        return self._made(index, self._areas[size])

    def learn(self, index: int, size: Size, page: Page) -> None:
        """Compare what was seen of a page with what PDFium has read, and learn from it."""
        if self._lines is None or bool(self._lines) != bool(page.runs):
            self._patience -= 1
            return
        if not self._lines:
            return
        area = self._areas.setdefault(size, self._area(index))
        known = self._known()
        if not _alike(self._made(index, area), page, known):
            self._patience = 0 if known else self._patience - 1
            return
        self._patience = min(self._patience + 1, _PATIENCE)
        if len(self._lines) == len(page.runs):
            for line, run in zip(self._lines, page.runs, strict=True):
                self._note(line, run, area)

    def _known(self) -> bool:
        for line in self._lines or ():
            for piece in line:
                face = self._faces.get(piece.key)
                if face is None or not (piece.text.isascii() or face.chars.issuperset(_beyond_ascii(piece.text))):
                    return False
        return True

    def _note(self, line: Sequence[Piece], run: Run, area: Box) -> None:
        """Learn what the face of a line is like that is set in one; of others, which characters occur."""
        piece = line[0]
        if len(line) == 1:
            above, below = run.y0 + piece.base - area[3], run.y1 + piece.base - area[3]
            fresh = _Face((0, run.size, run.bold, run.mono), above, below)
            known = self._faces.setdefault(piece.key, fresh)
            if known and known.like(fresh):
                known.ends[piece.text[-1]] = run.x1 - area[0] - piece.x1
            else:
                self._faces[piece.key] = None  # its boxes end where the ink does
        for piece in line:
            face = self._faces.get(piece.key)
            if face and not piece.text.isascii():
                face.chars |= _beyond_ascii(piece.text)

    def _made(self, index: int, area: Box) -> Page:
        """Return the page that the lines make; faces that are not known have some height."""
        lines = self._lines or []
        found: list[Run] = []
        alike: dict[str, list[Run]] = {}
        for line, following in zip(lines, [*lines[1:], None], strict=True):
            run = self._run(line, area)
            text = run.text
            if text[-1] == "-" and following and _divided(text, following[0].text):
                text = text[:-1] + SOFT
                run = run._replace(text=text)
            others = alike.get(text)
            if others is None:
                alike[text] = [run]
            elif any(_covers(other, run) for other in others):
                continue
            else:
                others.append(run)
            found.append(run)
        frame = Frame()
        box = frame.box(*area)
        rules = [frame.rule(rule, box) for rule in self._rules or ()]
        return Page(index + 1, box[2] - box[0], box[3] - box[1], found, rules)

    def _run(self, line: Sequence[Piece], area: Box) -> Run:
        """Return a line as one run; it is bold or of fixed width only if all of it is."""
        piece = line[0]
        text = piece.text
        face = self._faces.get(piece.key) or _guess(piece)
        left, _, _, top = area
        base = top - piece.base
        _, size, bold, mono = face.style
        end = piece.x1 + face.ends.get(text[-1], 0.0)
        run = Run(text, piece.x0 - left, base + face.above, end - left, base + face.below, size, bold, mono)
        for piece in line[1:]:
            other = self._run([piece], area)
            run = Run(
                run.text + (" " if piece.apart else "") + other.text,
                run.x0,
                min(run.y0, other.y0),
                other.x1,
                max(run.y1, other.y1),
                max(run.size, other.size),
                run.bold and other.bold,
                run.mono and other.mono,
            )
        if run.text.isascii() and run.text.count(".") < _LEADER:
            return run
        return run._replace(text=cleaned(run.text, run.mono))


def lines_of(pieces: Sequence[Piece]) -> list[list[Piece]] | None:
    """Return pieces as lines, those that follow each other closely on one baseline together.

    None if it cannot be told for sure whether two belong together, or whether there is a space between them.
    """
    found: list[list[Piece]] = []
    last: Piece | None = None
    for piece in pieces:
        if last is None or abs(piece.base - last.base) > _BESIDE * max(piece.size, last.size):
            found.append([piece])
        else:
            size = max(piece.size, last.size)
            gap = (piece.x0 - last.x1) / size
            if gap > GAP + _UNSURE or gap < BACK - _UNSURE:
                found.append([piece])
            elif not -_UNSURE < gap < GAP - _UNSURE or abs(piece.base - last.base) > _LEVEL:
                return None
            elif piece.apart or gap < _NO_SPACE:
                found[-1].append(piece)
            elif gap > _SPACE:
                piece.apart = True
                found[-1].append(piece)
            else:
                return None
        last = piece
    return found


def _covers(other: Run, run: Run) -> bool:
    """Whether one text is printed twice in one place, to look bold; see read_chars."""
    return round(other.x0) == round(run.x0) and round(other.y0) == round(run.y0)


def _guess(piece: Piece) -> _Face:
    return _Face((0, piece.key[1], False, False), -0.75 * piece.size, 0.25 * piece.size)


def _divided(text: str, following: str) -> bool:
    """Whether PDFium takes the hyphen at a line's end for one that divides a word."""
    return text[-1] == "-" and text[-2:-1].isalpha() and following[0].isalnum()


def _beyond_ascii(text: str) -> set[str]:
    return {char for char in text if char > "\x7f"}


def _alike(made: Page, page: Page, known: bool) -> bool:
    """Whether a page is as PDFium read it; heights and styles count where all faces are known."""
    if page.turned or len(made.runs) != len(page.runs) or len(made.rules) != len(page.rules):
        return False
    for ours, run in zip(made.runs, page.runs, strict=True):
        if ours.text != run.text or abs(ours.x0 - run.x0) > _NEAR or abs(ours.x1 - run.x1) > _NEAR * run.size:
            return False
        if known and (ours[5:] != run[5:] or abs(ours.y0 - run.y0) > _NEAR or abs(ours.y1 - run.y1) > _NEAR):
            return False
    return all(map(_near, *(sorted(map(_ends, read.rules)) for read in (made, page))))


def _ends(rule: Rule) -> Box:
    return rule.x0, rule.y0, rule.x1, rule.y1


def _near(one: Box, other: Box) -> bool:
    return all(abs(a - b) < _NEAR for a, b in zip(one, other, strict=True))
