"""Choosing the sentences of a chunk that calls are about."""

from __future__ import annotations

import re

from services.dataset.core.example import Passage

MIN_CHARACTERS = 40
"""Shortest sentence worth a question."""
MAX_CHARACTERS = 600
"""Longest passage; a longer sentence stands alone."""

_END = re.compile(r"(?<=[.!?])[\"')\]]*\s+(?=[A-Z0-9\"'(])|\n+")
_NOT_PROSE = re.compile(r"^\s*(#|\||```|[-*]{3,}\s*$)")
_FACT = re.compile(r"\d")


def passages(text: str, wanted: int) -> list[Passage]:
    """Return up to `wanted` passages of a chunk's text, in order, the same ones every time.

    A passage is one sentence of prose or one list entry. Headings, tables, code fences and fragments are passed over.
    Sentences with numbers come first, since they hold facts that can be asked for; the rest is spread over the text.
    """
    found = [p for p in _sentences(text) if _worth(text[p.start : p.end])]
    if len(found) <= wanted:
        return found
    facts = [p for p in found if _FACT.search(text[p.start : p.end])]
    others = [p for p in found if p not in facts]
    chosen = _spread(facts, wanted)
    chosen += _spread(others, wanted - len(chosen))
    return sorted(chosen, key=lambda p: p.start)


def _spread(found: list[Passage], wanted: int) -> list[Passage]:
    if wanted <= 0:
        return []
    if len(found) <= wanted:
        return found
    return [found[i * len(found) // wanted] for i in range(wanted)]


def _sentences(text: str) -> list[Passage]:
    found, start = [], 0
    for end in [*_END.finditer(text), None]:
        stop = end.start() if end else len(text)
        piece = text[start:stop]
        lead = len(piece) - len(piece.lstrip())
        if piece.strip():
            found.append(Passage(start + lead, start + len(piece.rstrip())))
        start = end.end() if end else stop
    return found


def _worth(sentence: str) -> bool:
    enough = MIN_CHARACTERS <= len(sentence) <= MAX_CHARACTERS and len(sentence.split()) >= 6
    return enough and not _NOT_PROSE.match(sentence) and sentence.rstrip()[-1:] in ".!?:;)\"'"
