"""The characters of a PDF page as runs of text."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

import pypdfium2.raw as raw

from services.ingest.core.layout.page import Run
from services.ingest.core.layout.wording import SOFT
from services.ingest.core.normal import one_line, printed
from services.ingest.sandbox.pdffaces import Characters, Faces
from services.ingest.sandbox.pdfframe import Box, Frame
from services.ingest.sandbox.pdflines import Lines
from services.ingest.sandbox.pdfruns import Growing, Runs


@dataclass
class Chars:
    """What the characters of a page make.

    Args:
        frame: the direction in which most of them are read.
        runs: those in that direction, in the order of the file, counted from the page's upper left corner.
        turned: the others, as texts.
        objects: addresses of the text objects that were met.
    """

    frame: Frame
    runs: list[Run] = field(default_factory=list)
    turned: list[str] = field(default_factory=list)
    objects: Collection[int] = ()


def read_chars(page: raw.FPDF_TEXTPAGE, count: int, area: Box, faces: Faces) -> Chars:
    """Return the characters of a page as runs.

    Args:
        area: left, bottom, right and top of the page.
        faces: those of the document.
    """
    characters, runs = Characters(page, faces), Runs()
    Lines(characters, runs).read(count)
    letters = [0, 0, 0, 0]
    texts: list[tuple[str, Growing]] = []
    for run in runs.found:
        text = "".join(run.text)
        if not text.isspace() and text:
            letters[run.turns] += len(text)
            texts.append((text, run))
    frame = Frame(max(range(4), key=lambda turns: letters[turns]))
    left, top, _, _ = frame.box(*area)
    chars = Chars(frame, objects=characters.objects)
    seen: set[tuple[str, int, int]] = set()
    for shown, run in texts:
        text = cleaned(shown, run.mono)
        x0, y0, x1, y1 = run.box
        # A face made bold by printing it twice gives every run twice.
        key = (text, round(x0), round(y0))
        if not text or key in seen:
            continue
        seen.add(key)
        if run.turns == frame.turns:
            chars.runs.append(Run(text, x0 - left, y0 - top, x1 - left, y1 - top, run.size, run.bold, run.mono))
        else:
            chars.turned.append(text)
    return chars


def cleaned(text: str, mono: bool) -> str:
    """Return a run's text without what is not shown; mono: whether spaces count, as in code."""
    if text.isascii() and text.isprintable() and text.count(".") < 5 and "  " not in text:
        return text.strip()  # there is nothing to clean
    text = printed(text.replace(SOFT, "\ue0ff")).replace("\ue0ff", SOFT)
    return text.strip() if mono else one_line(text)
