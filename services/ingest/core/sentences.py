"""Where sentences end."""

from __future__ import annotations

import re

# Full stops of the Latin, Arabic, Devanagari and Armenian scripts want white space after them; those of Chinese and
# Japanese do not.
_STOP = re.compile(r"(?:[.!?…‽؟।։]+[)\]\"'”’»]*(?=\s)|[。！？]+[」』”’）]*)")
_WORD_BEFORE = re.compile(r"[^\s(\[\"'“‘«]+$")
_SHORTENED = (
    "mr mrs ms dr prof st sr jr vs etc e.g i.e cf al approx no nos nr fig figs vol vols p pp ch sec sect eq eqs ed eds "
    "inc ltd co corp dept est ca art par para jan feb mar apr jun jul aug sep sept oct nov dec "
    "z.b d.h u.a bzw usw evtl ggf vgl abb tab bd hrsg str tel max min"
)
_ABBREVIATIONS = frozenset(_SHORTENED.split())
_LONGEST_WORD = 24


def sentence_ends(text: str, start: int, end: int) -> list[int]:
    """Return the positions just after each sentence of text[start:end] but the last, in order."""
    found = []
    for stop in _STOP.finditer(text, start, end):
        position = stop.end()
        if position < end and not _goes_on(text, stop, start, end):
            found.append(position)
    return found


def _goes_on(text: str, stop: re.Match[str], start: int, end: int) -> bool:
    """Whether a full stop ends an abbreviation, an initial or a list number rather than a sentence."""
    following = text[stop.end() : min(stop.end() + 8, end)].lstrip()[:1]
    if following.islower():
        return True
    if not stop.group().startswith(".") or len(stop.group()) > 1:
        return False
    before = _WORD_BEFORE.search(text, max(start, stop.start() - _LONGEST_WORD), stop.start())
    word = before.group() if before else ""
    single = len(word) == 1 and word.isupper()
    counting = word.isdigit() and len(word) < 3 and stop.start() - len(word) == start
    return single or counting or word.lower() in _ABBREVIATIONS
