"""Choosing the sentences of a chunk that calls are about."""

from __future__ import annotations

import re

from services.dataset.core.cues import cue
from services.dataset.core.example import Passage

MIN_CHARACTERS = 20
"""Shortest sentence worth a question."""
MIN_WORDS = 5
TOGETHER = 4
"""Most sentences that one call is about, where it is about several."""
MIN_CHUNK_WORDS = 8
"""Fewest words of a chunk that is asked about as a whole."""
MAX_CHARACTERS = 600
"""Longest sentence that is asked about."""

_END = re.compile(r"(?<=[.!?])[\"'”’)\]]*\s+(?=[^\W_a-z]|[\"'“‘(])|\n[ \t]*\n+|\n(?=[ \t]*(?:[-*+#|>]|\d+[.)] ))")
_ABBREVIATION = re.compile(
    r"(?:\b(?:Dr|Mr|Mrs|Ms|Prof|St|No|Nr|Fig|Abb|Sec|Vol|vs|etc|approx|ca|bzw|e\.g|i\.e|z\.B|d\.h|Inc|Ltd|Co)|\b[A-Z])\.$"
)
_NOT_PROSE = re.compile(r"^\s*(#|\||```|[-*_=]{3,}\s*$|!\[)")
_LIST_MARK = re.compile(r"[ \t]*(?:[-*+>]|\d+[.)])[ \t]+")
_LEANS = re.compile(r"(?:It|Its|They|Their|Them|This|These|That|Those|He|She|His|Her|Such|Otherwise|Then)\b")
"""A sentence that begins so leans on the one before, which is shown with it."""


def passages(text: str, wanted: int) -> list[Passage]:
    """Return up to `wanted` passages of a chunk's text, in order, the same ones every time.

    A passage is one sentence of prose or one list entry. Headings, tables, code fences and fragments are passed over.
    Sentences with a fact that can be asked for come first, spread over the text; then the others.
    """
    found = [p for p in _sentences(text) if _worth(text[p.start : p.end])]
    if len(found) <= wanted:
        return found
    facts = [p for p in found if cue(text[p.start : p.end])]
    others = [p for p in found if p not in facts]
    chosen = _spread(facts, wanted)
    chosen += _spread(others, wanted - len(chosen))
    return sorted(chosen, key=lambda p: p.start)


def places(text: str, wanted: int, scope: str, kinds: int = 1) -> list[Passage]:
    """Return what up to `wanted` calls are about, in order, the same every time.

    Args:
        scope: PASSAGE: one sentence; PASSAGES: sentences that follow each other, four at most; CHUNK: all of it, once.
        kinds: how often the same few sentences may be asked about: once for each kind of question.
    """
    if scope == "PASSAGE":
        return passages(text, wanted)
    if scope == "CHUNK":
        return [Passage(0, len(text), 0)] if len(text.split()) >= MIN_CHUNK_WORDS else []
    found = [p for p in _sentences(text) if _worth(text[p.start : p.end])]
    groups = [found[i : i + TOGETHER] for i in range(0, len(found), TOGETHER)]
    chosen = _spread([Passage(g[0].start, g[-1].end, g[0].shown_from) for g in groups], wanted)
    return (chosen * kinds)[:wanted]


def _spread(found: list[Passage], wanted: int) -> list[Passage]:
    if wanted <= 0:
        return []
    if len(found) <= wanted:
        return found
    return [found[i * len(found) // wanted] for i in range(wanted)]


def _sentences(text: str) -> list[Passage]:
    found: list[Passage] = []
    start, before, fenced = 0, None, False
    for end in [*_END.finditer(text), None]:
        stop = end.start() if end else len(text)
        if end and not text[end.start() : end.end()].count("\n") and _ABBREVIATION.search(text[start:stop]):
            continue
        piece = text[start:stop]
        fenced ^= piece.count("```") % 2 == 1
        mark = _LIST_MARK.match(piece)
        lead = mark.end() if mark else len(piece) - len(piece.lstrip())
        if piece.strip() and not fenced:
            first, last = start + lead, start + len(piece.rstrip())
            leans = before is not None and _LEANS.match(text, first) and first - before.end < 3
            passage = Passage(first, last, before.start if leans and before else first)
            before = passage
            found.append(passage)
        start = end.end() if end else stop
    return found


def _worth(sentence: str) -> bool:
    enough = MIN_CHARACTERS <= len(sentence) <= MAX_CHARACTERS and len(sentence.split()) >= MIN_WORDS
    return enough and not _NOT_PROSE.match(sentence) and sentence.rstrip()[-1:] in ".!;)\"'”’"
