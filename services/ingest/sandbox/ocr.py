"""OCR by the program tesseract, where it is installed: words and where they stand on a page's picture."""

from __future__ import annotations

import csv
import io
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Protocol

from services.ingest.core.layout.page import Page, Run
from services.ingest.core.normal import one_line, printed
from services.ingest.sandbox.job import Ocr

DPI = 300
_LEAST_CERTAIN = 30.0
_LARGE = 1.5
"""Lines this much higher than the page's median are printed larger; smaller differences are letters without tails."""


@dataclass(frozen=True)
class Picture:
    """A page as a picture.

    Args:
        path: a PGM file.
        width: in pixels.
        height: in pixels.
        dpi: pixels to an inch.
    """

    path: Path
    width: int
    height: int
    dpi: float


@dataclass(frozen=True)
class Word:
    """A word that was recognised.

    Args:
        line: which line it belongs to; lines are numbered in reading order.
        text: one or more visible characters.
        certain: 0 to 100.
        x0: left edge in pixels.
        y0: top edge.
        x1: right edge.
        y1: bottom edge.
    """

    line: tuple[int, ...]
    text: str
    certain: float
    x0: int
    y0: int
    x1: int
    y1: int


class Recogniser(Protocol):
    """Reads what is printed on a picture."""

    def name(self) -> str:
        """Return the program with its version: "tesseract 5.3.0"."""
        ...

    def words(self, picture: Picture) -> Sequence[Word]:
        """Return the words on a picture in reading order; none for a blank one, or one that takes too long."""
        ...


class Tesseract:
    """See Recogniser. Each picture is a process of its own, under the limits of this one.

    Args:
        program: its path.
        languages: as tesseract names them, joined by "+": "eng+deu"; "" for its default.
        seconds: most for one page.
    """

    def __init__(self, program: str, languages: str, seconds: float) -> None:
        self._program = program
        self._languages = ["-l", languages] if languages else []
        self._seconds = seconds

    def name(self) -> str:
        """Return the program with its version."""
        try:
            said = subprocess.run([self._program, "--version"], capture_output=True, timeout=self._seconds, check=False)
        except (OSError, subprocess.TimeoutExpired):
            return "tesseract"
        found = re.match(rb"tesseract v?([0-9][0-9.]*)", said.stdout or said.stderr)
        return f"tesseract {found[1].decode()}" if found else "tesseract"

    def words(self, picture: Picture) -> Sequence[Word]:
        """Return the words on a picture."""
        command = [
            self._program,
            str(picture.path),
            "stdout",
            *self._languages,
            "--dpi",
            str(round(picture.dpi)),
            "tsv",
        ]
        try:
            said = subprocess.run(command, capture_output=True, timeout=self._seconds, check=True)
        except subprocess.CalledProcessError as error:
            # Such as a language that is not installed; the service's log has it.
            sys.stderr.write(f"tesseract: {error.stderr[-500:].decode('utf-8', 'replace')}\n")
            return []
        except (OSError, subprocess.SubprocessError):
            return []
        return list(filter(None, map(_word, csv.reader(io.StringIO(said.stdout.decode("utf-8", "replace")), "tsv"))))


class _Tsv(csv.excel_tab):
    quoting = csv.QUOTE_NONE


csv.register_dialect("tsv", _Tsv)


def _word(row: Sequence[str]) -> Word | None:
    """Return a row as a word: level, page, block, paragraph, line, word, left, top, width, height, certainty, text."""
    try:
        level, _, block, paragraph, line, _, left, top, width, height = map(int, row[:10])
        certain, text = float(row[10]), one_line(printed(row[11]))
    except (ValueError, IndexError):
        return None  # the head row, and rows that tell of blocks and lines
    if level != 5 or not text or certain < _LEAST_CERTAIN:
        return None
    return Word((block, paragraph, line), text, certain, left, top, left + width, top + height)


def recognised(number: int, picture: Picture, recogniser: Recogniser) -> Page | None:
    """Return a page with the lines that are printed on its picture, or None if there are none."""
    lines: dict[tuple[int, ...], list[Word]] = {}
    for word in recogniser.words(picture):
        lines.setdefault(word.line, []).append(word)
    if not any(c.isalnum() for words in lines.values() for word in words for c in word.text):
        return None
    scale = 72 / picture.dpi
    usual = median(_height(words) for words in lines.values())
    runs = []
    for words in lines.values():
        size = _height(words) if _height(words) > _LARGE * usual else usual
        runs.append(
            Run(
                text=" ".join(word.text for word in words),
                x0=min(word.x0 for word in words) * scale,
                y0=min(word.y0 for word in words) * scale,
                x1=max(word.x1 for word in words) * scale,
                y1=max(word.y1 for word in words) * scale,
                size=size * scale,
            )
        )
    return Page(number, picture.width * scale, picture.height * scale, runs)


def _height(words: Sequence[Word]) -> float:
    return max(word.y1 for word in words) - min(word.y0 for word in words)


class OcrBudget:
    """Counts pages and time, so that a long scan ends before the whole job does.

    Args:
        ocr: what was allowed.
        seconds: that OCR may take in all.
    """

    def __init__(self, ocr: Ocr, seconds: float) -> None:
        self._pages = ocr.pages
        self._until = time.monotonic() + seconds

    def take(self) -> bool:
        """Take one page of the budget; return whether there was one."""
        if self._pages <= 0 or time.monotonic() > self._until:
            return False
        self._pages -= 1
        return True
