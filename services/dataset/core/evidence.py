"""Finding a quote in a text although case, spaces, quotation marks, dashes or line ends differ."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

_SAME = str.maketrans({"’": "'", "‘": "'", "“": '"', "”": '"', "–": "-", "—": "-", "‐": "-", "‑": "-", "−": "-"})
MIN_CLOSED = 12
"""Shortest quote, in characters, that is looked for without its spaces and hyphens too."""
_PLAIN = re.compile(r"[!-)+,./-^a-~]+(?: [!-)+,./-^a-~]+)*")
"""Words of ASCII without any sign that may vanish: nearly all of most texts, and the same but for their case."""
_TRIM = " \t\n\"'.…,;:"


@dataclass(frozen=True)
class Normal:
    """A normalised text, and for each of its characters the place that it came from."""

    text: str
    origin: tuple[int, ...]


@lru_cache(maxsize=256)
def normalise(text: str) -> Normal:
    """Return the text in NFKC and lower case, with one kind of quotation mark and dash and single spaces.

    Soft hyphens, Markdown emphasis and hyphens at line ends vanish.
    """
    parts: list[str] = []
    origin: list[int] = []
    place, spaced = 0, True
    while place < len(text):
        if plain := _PLAIN.match(text, place):
            parts.append(plain.group().lower())
            origin.extend(range(*plain.span()))
            place, spaced = plain.end(), False
            continue
        for piece in _pieces(text, place):
            if piece.isspace():
                if spaced:
                    continue
                piece = " "
            spaced = piece == " "
            parts.append(piece)
            origin.append(place)
        place += 1
    return Normal("".join(parts), tuple(origin))


def _pieces(text: str, place: int) -> str:
    """Return what stands for one character of a text."""
    letter = text[place]
    if letter in "\u00ad*`" or (letter == "_" and _at_edge(text, place)):
        return ""
    if letter == "-" and text[place + 1 : place + 2] == "\n":
        return ""
    return unicodedata.normalize("NFKC", letter).translate(_SAME).lower()


def _at_edge(text: str, place: int) -> bool:
    before, after = text[place - 1 : place], text[place + 1 : place + 2]
    return not (before.isalnum() and after.isalnum())


def find(quote: str, text: str) -> tuple[int, int] | None:
    """Return (start, end) of a quote in a text, in code points, or None. The first of several is returned.

    Punctuation and quotation marks round the quote do not count; an empty quote is never found. A longer quote may also
    differ in where words are parted, as when a hyphen at a line's end vanished or stayed.
    """
    wanted, normal = normalise(quote), normalise(text)
    bare = wanted.text.strip(_TRIM)
    if not bare:
        return None
    return _place(bare, normal) or (
        _place(_closed(wanted).text.strip(_TRIM), _closed(normal)) if len(bare) >= MIN_CLOSED else None
    )


def _place(wanted: str, normal: Normal) -> tuple[int, int] | None:
    start = normal.text.find(wanted)
    return None if start < 0 else (normal.origin[start], normal.origin[start + len(wanted) - 1] + 1)


def _closed(normal: Normal) -> Normal:
    """Return a normal text without spaces, hyphens and quotation marks."""
    kept = [(letter, place) for letter, place in zip(normal.text, normal.origin, strict=True) if letter not in " -'\""]
    return Normal("".join(letter for letter, _ in kept), tuple(place for _, place in kept))
