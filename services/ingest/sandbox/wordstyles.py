"""Styles and numbering of Word documents."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from services.ingest.sandbox.wordxml import W, number, value

_MOST_STEPS = 20
_CODE = ("code", "preformatted", "verbatim", "listing")


class Styles:
    """The paragraph styles of a document, each with those that it is based on.

    Args:
        root: the w:styles element, or None.
    """

    def __init__(self, root: Any) -> None:
        self._styles: dict[str, Any] = {}
        self._default = ""
        for style in root.iterfind(f"{W}style") if root is not None else ():
            if style.get(f"{W}type") == "paragraph":
                self._styles[style.get(f"{W}styleId", "")] = style
                if style.get(f"{W}default") in ("1", "true"):
                    self._default = style.get(f"{W}styleId", "")

    def chain(self, paragraph: Any) -> Iterator[Any]:
        """Yield a paragraph's style and those that it is based on."""
        key: str | None = value(paragraph, "pPr", "pStyle") or self._default
        for _ in range(_MOST_STEPS):
            style = self._styles.get(key or "")
            if style is None:
                return
            yield style
            key = value(style, "basedOn")

    def name(self, paragraph: Any) -> str:
        """Return the name of a paragraph's style in lower case: the same in every language of Word."""
        style = next(self.chain(paragraph), None)
        return (value(style, "name") or "").lower() if style is not None else ""

    def is_code(self, paragraph: Any) -> bool:
        """Whether a paragraph is a line of code."""
        name = self.name(paragraph)
        return any(word in name for word in _CODE)

    def level(self, paragraph: Any) -> int:
        """Return the level of a heading, 1 to 9, or 0; a document's title has level 1."""
        own = number(value(paragraph, "pPr", "outlineLvl"))
        if own is not None:
            return own + 1 if own < 9 else 0
        for style in self.chain(paragraph):
            name = (value(style, "name") or "").lower()
            if name == "title":
                return 1
            if name.startswith("heading ") and name[8:].isdigit():
                return min(int(name[8:]), 9)
            level = number(value(style, "pPr", "outlineLvl"))
            if level is not None:
                return level + 1 if level < 9 else 0
        return 0

    def list_depth(self, paragraph: Any) -> int:
        """Return the depth from 0 that Word's own list styles, such as "List Bullet 2", say by their name."""
        name = self.name(paragraph)
        return int(name[-1]) - 1 if name.startswith("list ") and name[-1] in "2345" else 0

    def numbering(self, paragraph: Any) -> tuple[str, int] | None:
        """Return the numbering that a paragraph takes part in and its level from 0, or None."""
        level: int | None = None
        for holder in (paragraph, *self.chain(paragraph)):
            level = number(value(holder, "pPr", "numPr", "ilvl")) if level is None else level
            found = value(holder, "pPr", "numPr", "numId")
            if found is not None:
                return None if found == "0" else (found, level or 0)
        return None


@dataclass(frozen=True)
class _Level:
    format: str
    text: str
    start: int


class Numbering:
    """Counts the numbered paragraphs of a document.

    Args:
        root: the w:numbering element, or None.
    """

    def __init__(self, root: Any) -> None:
        abstract: dict[str, dict[int, _Level]] = {}
        self._kinds: dict[str, str] = {}
        for node in root.iterfind(f"{W}abstractNum") if root is not None else ():
            abstract[node.get(f"{W}abstractNumId", "")] = dict(_levels(node))
        for node in root.iterfind(f"{W}num") if root is not None else ():
            self._kinds[node.get(f"{W}numId", "")] = value(node, "abstractNumId") or ""
        self._levels = abstract
        self._counts: dict[str, dict[int, int]] = defaultdict(dict)

    def mark(self, numbering: str, depth: int) -> str:
        """Return the mark of the next paragraph of a numbering: "-", "3.", "2.1"; "" if it has none."""
        kind = self._kinds.get(numbering)
        level = self._levels.get(kind or "", {}).get(depth)
        if level is None or level.format == "bullet":
            return "-"
        if level.format == "none" or kind is None:
            return ""
        counts = self._counts[kind]
        counts[depth] = counts.get(depth, level.start - 1) + 1
        for deeper in [d for d in counts if d > depth]:
            del counts[deeper]
        text = level.text
        for index in range(depth + 1):
            place = self._levels[kind].get(index)
            count = counts.get(index, place.start if place else 1)
            text = text.replace(f"%{index + 1}", _written(count, place.format if place else "decimal"))
        return text.strip()


def _levels(node: Any) -> Iterator[tuple[int, _Level]]:
    for level in node.iterfind(f"{W}lvl"):
        start = number(value(level, "start"))
        kind = value(level, "numFmt") or "decimal"
        text = value(level, "lvlText") or ""
        yield number(level.get(f"{W}ilvl")) or 0, _Level(kind, text, 1 if start is None else start)


def _letters(count: int) -> str:
    return chr(ord("a") + (count - 1) % 26) * ((count - 1) // 26 % 5 + 1)


def _roman(count: int) -> str:
    text = ""
    pairs = ((1000, "m"), (900, "cm"), (500, "d"), (400, "cd"), (100, "c"), (90, "xc"), (50, "l"), (40, "xl"))
    for size, letters in (*pairs, (10, "x"), (9, "ix"), (5, "v"), (4, "iv"), (1, "i")):
        text += letters * (count // size)
        count %= size
    return text


_FORMATS: dict[str, Callable[[int], str]] = {
    "lowerLetter": _letters,
    "upperLetter": lambda count: _letters(count).upper(),
    "lowerRoman": _roman,
    "upperRoman": lambda count: _roman(count).upper(),
    "decimalZero": lambda count: f"{count:02d}",
}


def _written(count: int, kind: str) -> str:
    """Return a count as its numbering writes it; kinds that are not known as decimals."""
    return _FORMATS[kind](count) if kind in _FORMATS and 0 < count < 4000 else str(count)
