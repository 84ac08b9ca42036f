"""Where source code is cut: before definitions, at blank lines, between lines."""

from __future__ import annotations

import re
from array import array
from bisect import bisect_right

from services.ingest.core.boundaries import Boundaries, first_in, last_in
from services.ingest.core.cuts import Sizes
from services.ingest.core.tokens import TokenMap

_WORDS = (
    r"(?:export|default|public|private|protected|internal|static|final|abstract|async|inline|extern|unsafe|const|"
    r"virtual|override|sealed|open|data|partial|pub(?:\([\w ]{0,20}\))?|declare)\s+"
)
_KINDS = (
    r"def|class|struct|enum|union|trait|impl|interface|function|func|fn|fun|module|namespace|package|type|typedef|"
    r"object|record|protocol|extension|mod|sub|procedure|template|message|service|resource|CREATE|create"
)
_DEFINITION = re.compile(
    rf"(?:{_WORDS}){{0,6}}(?:{_KINDS})\b|[A-Za-z_][\w:<>*&,\[\] ]{{0,120}}\([^;\n]{{0,200}}\)[^;\n]{{0,40}}\{{"
)
_ATTACHED = re.compile(r"@|#|//|/\*| \*|--|;|\[|\"\"\"")
"""How lines begin that belong to the definition below them: comments, decorators, attributes."""

_CLOSING = re.compile(r"[)\]}]|end\b|else\b|elif\b|except\b|finally\b|catch\b|case\b|```|~~~")
"""How lines begin that belong to what stands above them although they stand at the margin."""


class CodeCuts:
    """Whole lines: before definitions at the left margin, else at blank lines, else between any two lines.

    Comments and decorators directly above a definition go with it. Where the text has headings, these count as
    definitions. Only a line that is longer than a chunk is divided, after a word where it has one.
    """

    def __init__(self, text: str, bounds: Boundaries, tokens: TokenMap, sizes: Sizes) -> None:
        self._text = text
        self._bounds = bounds
        self._tokens = tokens
        self._sizes = sizes
        self._definitions, self._margins, self._blanks, self._lines = array("q"), array("q"), array("q"), array("q")
        self._find()

    def _find(self) -> None:
        """Note the ends of lines after which a chunk may begin, by what the next line is."""
        text = self._text
        headings = {block.start for block in self._bounds.blocks if block.kind == "heading"}
        attached: int | None = None
        blank = False
        start = 0
        while start < len(text):
            end = text.find("\n", start)
            end = end if end >= 0 else len(text)
            before = start - 1
            if not text[start:end].strip():
                blank = True
                attached = None
            else:
                if before >= 0:
                    self._lines.append(before)
                above = before if attached is None else attached
                self._line(start, start in headings, blank, above)
                attached = above if _ATTACHED.match(text, start) else None
                blank = False
            start = end + 1

    def _line(self, start: int, heading: bool, blank: bool, before: int) -> None:
        """Note what kind of place a line's beginning is.

        Args:
            blank: whether there are blank lines above it.
            before: end of the line above it and the comments that go with it; -1 at the text's beginning.
        """
        margin = not self._text[start].isspace() and not _CLOSING.match(self._text, start)
        if margin and (heading or _DEFINITION.match(self._text, start)):
            self._definitions.append(before)
        if blank:
            self._blanks.append(start - 1)
            if margin:
                self._margins.append(start - 1)

    def first(self, position: int) -> int:
        """Return the beginning of the line whose first visible code point is at a position: indentation is kept."""
        if position >= len(self._text):
            return position
        start = self._text.rfind("\n", 0, position) + 1
        return start if not self._text[start:position].strip() else position

    def end(self, start: int, done: int, budget: int) -> int:
        """Return the best place after done; see cuts.Cuts."""
        limit = min(self._tokens.after(start, budget), start + self._sizes.characters)
        if limit >= len(self._text):
            return len(self._text)
        if limit <= done:
            return done if start < done else done + 1
        half, quarter = (max(done, self._tokens.after(start, budget // part)) for part in (2, 4))
        choices = (
            (self._definitions, half),
            (self._margins, half),
            (self._definitions, quarter),
            (self._margins, quarter),
            (self._blanks, quarter),
            (self._definitions, done),
            (self._lines, done),
        )
        for places, after in choices:
            found = last_in(places, after, limit)
            if found >= 0:
                return found
        if start < done:
            return done
        found = self._bounds.word_end(done, limit)
        return found if found >= 0 else limit

    def wall(self, position: int) -> bool:
        """Whether a heading or nothing at all stands there."""
        following = self._bounds.at(position)
        return following is None or following.kind == "heading"

    def begin(self, begin: int, end: int) -> int:
        """Return the beginning of the first line in [begin, end), or -1."""
        found = first_in(self._lines, begin - 1, end - 1)
        return found + 1 if found >= 0 else -1

    def above(self, start: int) -> str:
        """Return the first line of the definition that an indented line at start stands in, or ""."""
        if start >= len(self._text) or not self._text[start].isspace():
            return ""
        index = bisect_right(self._definitions, start) - 1
        if index < 0:
            return ""
        for line in self._text[self._definitions[index] + 1 : start].splitlines():
            if _DEFINITION.match(line):
                return line.strip()[:200]
        return ""
