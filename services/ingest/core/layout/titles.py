"""Which passages are headings, and of what level."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from services.ingest.core.layout.paragraphs import Passage
from services.ingest.core.layout.sketch import Sketch, body_size

_LARGER = 1.12
_MOST_CHARACTERS = 200
_LEVELS = 6
_NO_TITLE = (".", ",", ";", ":")
_LETTER = re.compile(r"[^\W\d_]")
_LEADER = re.compile(r"…|\.\.\.")


class Titles:
    """Headings by their look: set larger than the body, or bold on a line of their own.

    The larger the font, the higher the level; bold ones of the body's size stand below all larger ones.
    """

    def __init__(self, pages: Sequence[Sketch], found: Iterable[Passage]) -> None:
        self._body = body_size(pages)
        letters = sum(sum(page.letters.values()) for page in pages)
        self._bold_tells = sum(page.bold for page in pages) < 0.4 * letters
        sizes = {_rounded(passage.size) for passage in found if self._large(passage)}
        self._sizes = sorted(sizes, reverse=True)

    def level(self, passage: Passage) -> int:
        """Return 1 to 6 for a heading, 0 for anything else."""
        if self._large(passage):
            return min(self._sizes.index(_rounded(passage.size)) + 1, _LEVELS)
        if self._bold_tells and passage.bold and self._possible(passage) and passage.size > 0.93 * self._body:
            return min(len(self._sizes) + 1, _LEVELS)
        return 0

    def _large(self, passage: Passage) -> bool:
        return passage.size >= _LARGER * self._body and self._possible(passage)

    def _possible(self, passage: Passage) -> bool:
        if passage.kind == "code" or passage.long:
            return False
        text = " ".join(passage.texts)
        return (
            len(text) <= _MOST_CHARACTERS
            and bool(_LETTER.search(text))
            and not text.endswith(_NO_TITLE)
            and not self._listed(text)
        )

    @staticmethod
    def _listed(text: str) -> bool:
        """Whether a line stands in a table of contents: a leader, then a page number."""
        return bool(_LEADER.search(text)) and text[-1:].isdigit()


def _rounded(size: float) -> float:
    return round(size * 2) / 2
