"""What of personal data and secrets stands in a chunk: found in its text, and in the document's around its ends.

A chunk's end may cut a find in two, or part it from the words that tell what it is. Each chunk then has a part of it,
and both parts are told with the whole find.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from services.dataset.core import pii, secrets
from services.dataset.core.example import Source
from services.dataset.core.pii import Found

AROUND = 500
"""Code points on either side of a chunk's end that are looked at; a private key is found however long it is."""
_REACH = 100
"""Code points from a chunk's end within which it may part a find from its words; what is farther off is the chunk's own
to tell, since the place where looking begins may itself cut something in two."""
_NEARBY = 64
"""Code points within which ends of chunks are looked at together: a gap between two chunks is mostly a space."""

_LINE_END = re.compile(r"(?<!\n)[ \t]*\n[ \t]*(?!\n)")


@dataclass(frozen=True)
class Held:
    """What a text holds of a find: the part from start to end, in code points, and the whole of it as it stands."""

    kind: str
    start: int
    end: int
    whole: str


def held(text: str, around: Iterable[Held] = ()) -> list[Held]:
    """Return what a text holds, in order and apart.

    Args:
        around: what the text of the document says about it; that counts more than what a part looks like by itself,
            but not more than a longer find that has all of it.
    """
    found = [Held(one.kind, one.start, one.end, text[one.start : one.end]) for one in find(text)]
    for one in around:
        met = [other for other in found if one.start < other.end and other.start < one.end]
        if len(met) == 1 and met[0].start <= one.start and one.end <= met[0].end and _length(one) < _length(met[0]):
            continue
        start, end = min([one.start, *(m.start for m in met)]), max([one.end, *(m.end for m in met)])
        found = [*(other for other in found if other not in met), Held(one.kind, start, end, one.whole)]
    return sorted(found, key=lambda one: one.start)


class Surroundings:
    """The text of one file, as far as some of its chunks have it; what is between them is empty lines.

    Args:
        sources: chunks of the file, in order.
    """

    def __init__(self, sources: Sequence[Source]) -> None:
        pieces = sorted((first, text) for source in sources for first, text in _pieces(source))
        self._first = end = pieces[0][0] if pieces else 0
        parts: list[str] = []
        for first, text in pieces:
            gap = first - end
            parts += ["\n" * gap if gap > 1 else " " * gap, text[max(0, end - first) :]]
            end = max(end, first + len(text))
        self._text = "".join(parts)
        self._known: dict[int, list[Found]] = {}
        self._keys = [Found("PRIVATE_KEY", *span) for span in secrets.private_keys(self._text)]

    def held(self, source: Source) -> Iterator[Held]:
        """Yield what a chunk holds of the finds around its ends, and of private keys. CPU work: about 1 ms."""
        offset = 0
        for first, text in _pieces(source):
            start, end = first - self._first, first - self._first + len(text)
            if self._text[start:end] == text:
                ends = [cut for cut in (start, end) if 0 < cut < len(self._text)]
                near = {one for cut in ends for one in self._around(cut) if _near(one, cut)}
                for one in sorted({*self._keys, *near}, key=lambda one: (one.start, -one.end, one.kind)):
                    low, high = max(one.start, start), min(one.end, end)
                    if low < high:
                        whole = self._text[one.start : one.end]
                        yield Held(one.kind, offset + low - start, offset + high - start, whole)
            offset += len(text)

    def _around(self, cut: int) -> list[Found]:
        """Return the finds around a place in the text, but for those that may go on where looking ends."""
        place = cut // _NEARBY
        if place not in self._known:
            first, last = max(0, place * _NEARBY - AROUND), min(len(self._text), (place + 1) * _NEARBY + AROUND)
            found = [Found(one.kind, first + one.start, first + one.end) for one in find(self._text[first:last])]
            self._known[place] = [
                one for one in found if (one.start > first or not first) and (one.end < last or last == len(self._text))
            ]
        return self._known[place]


def _near(one: Found, cut: int) -> bool:
    return one.start < cut + _REACH and cut - _REACH < one.end


def _length(one: Held) -> int:
    return one.end - one.start


def _pieces(source: Source) -> Iterator[tuple[int, str]]:
    """Yield the parts of a chunk's text that stand together in the document, and where each begins there."""
    offset, end, start = 0, -1, 0
    for first, last in (*source.spans, (-2, -2)):
        if first != end:
            if end > start:
                yield start, source.text[offset : offset + end - start]
                offset += end - start
            start = first
        end = last


def find(text: str) -> list[Found]:
    """Return what is found in a text as it stands, or on one line, as prompts show it; in order and apart."""
    found = pii.find(text)
    if "\n" not in text:
        return found
    line, origin = _on_one_line(text)
    for one in pii.find(line):
        start, end = origin[one.start], origin[one.end - 1] + 1
        met = [other for other in found if start < other.end and other.start < end]
        kind = met[0].kind if met else one.kind
        whole = Found(kind, min([start, *(m.start for m in met)]), max([end, *(m.end for m in met)]))
        found = [*(other for other in found if other not in met), whole]
    return sorted(found, key=lambda one: one.start)


def _on_one_line(text: str) -> tuple[str, list[int]]:
    """Return a text whose single line ends are spaces, and each character's place in the text."""
    parts: list[str] = []
    origin: list[int] = []
    done = 0
    for end in _LINE_END.finditer(text):
        parts += [text[done : end.start()], " "]
        origin += [*range(done, end.start()), end.start()]
        done = end.end()
    return "".join([*parts, text[done:]]), [*origin, *range(done, len(text))]
