"""Fields of a broken JSON object, found by the names that they must have.

A general repair has to guess where a value ends, and guesses wrong where a quotation mark stands in it. Since the names
of the fields are known, a value is what stands between one name and the next.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Sequence
from itertools import pairwise

_CLOSING = {'"': '"', "'": "'", "“": '”“"', "”": "”", "„": '“”"', "«": "»", "`": "`", "‘": "’'"}
_OPEN = "\"'“”„«`‘"
_TAIL = r"(?:[\s,;，、}\])`]|\.\.\.|…|//[^\n\"]*(?=\n|\Z)|#[^\n\"]*(?=\n|\Z)|/\*[^*]*\*/)*"
_VALUE = re.compile(rf"\s*([{_OPEN}])(.*)([\"'”“»`’]){_TAIL}\Z", re.DOTALL)
_OTHER_KEY = re.compile(r"[,{]\s*[\"'](\w{1,40})[\"']\s*:")
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
_JOINED = re.compile(r"\"\s*\+\s*\"")


def plain(text: str) -> str:
    """Return a text whose quotation marks were all escaped, or written as entities, with plain ones."""
    if "&quot;" in text and '"' not in text:
        return html.unescape(text)
    if '\\"' in text and not re.search(r'(?<!\\)"', text):
        return text.replace('\\"', '"')
    return text


def fields(text: str, names: Sequence[str]) -> dict[str, str] | None:
    """Return the text fields of an object by name, or None unless each name is there once with a whole text in quotes.

    Args:
        text: the object, whatever is wrong with its quotes, commas and braces.
        names: the fields' names.
    """
    found = [match for name in names for match in _key(name).finditer(text)]
    found.sort(key=lambda match: match.start())
    if sorted(match.group("name").lower() for match in found) != sorted(name.lower() for name in names):
        return None
    own = {match.end("name") for match in found}
    others = [match.start() for match in _OTHER_KEY.finditer(text) if match.end(1) not in own]
    values: dict[str, str] = {}
    bounds = [*(match.start() for match in found), len(text)]
    for match, (_, stop) in zip(found, pairwise(bounds), strict=True):
        stop = min([stop, *(place for place in others if place >= match.end())])
        value = _value(text[match.end() : stop])
        if value is None:
            return None
        name = next(name for name in names if name.lower() == match.group("name").lower())
        values[name] = value
    return values


def _key(name: str) -> re.Pattern[str]:
    marks = "\"'“”`"
    before = rf"(?:\A|(?<=[\s{{\[,;，{marks}\ufeff\u200b]))[{marks}]{{0,2}}[ *_]*(?:\d+\. *)?"
    after = rf"[ *_:]*[{marks}]{{0,2}}\s*(?::|=>|=|：)\s*(?=[{_OPEN}])"
    return re.compile(rf"{before}(?P<name>{re.escape(name)}){after}", re.IGNORECASE)


def _value(segment: str) -> str | None:
    """Return the text between the first quotation mark and the last one; None if the two are no pair."""
    found = _VALUE.match(segment)
    if not found or found.group(3) not in _CLOSING[found.group(1)]:
        return None
    inside = _JOINED.sub("", found.group(2)) if found.group(1) == '"' else found.group(2)
    return unescape(inside)


def unescape(text: str) -> str:
    """Return a text with JSON's escapes resolved; a backslash before another letter or digit stays, others go."""

    def resolved(match: re.Match[str]) -> str:
        if match.group(1):
            return chr(int(match.group(1), 16))
        letter = match.group(2)
        return _ESCAPES.get(letter) or (match.group() if letter.isalnum() else letter)

    joined = _ESCAPE.sub(resolved, text)
    # Two halves of a surrogate pair, each written as an escape, become one character.
    return json.loads(json.dumps(joined)) if any("\ud800" <= letter <= "\udfff" for letter in joined) else joined
