"""What a chunk offers, what is asked of the LLM about it, and what comes of the reply."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any


@dataclass(frozen=True)
class Mask:
    """A placeholder in a chunk's text: where it stands, and how many code points of the chunk it stands for."""

    start: int
    end: int
    length: int


@dataclass(frozen=True)
class Source:
    """A chunk to write examples from.

    Args:
        chunk: resource name of the chunk.
        file: resource name of its file.
        file_name: the file's name, for people.
        text: the chunk's text.
        context: headings above it, outermost first.
        spans: (start, end) in the extracted text, in code points, whose texts joined are `text` before it was masked.
        places: places in the source, each {"span": {"start", "end"}, "page", "headings", "paragraph"}.
        text_sha256: SHA-256 of the extracted text.
        flags: what was found in the text and made harmless: CONTROL_TOKENS, INVISIBLE_TEXT, SUSPECTED_INJECTION.
        language: ISO 639-1 code of most of its file; "" where it was not told.
        masks: placeholders in the text, in order.
        withheld: kinds of personal data or secrets for which the chunk is not shown to the LLM; its text is then empty.
    """

    chunk: str
    file: str
    file_name: str
    text: str
    context: tuple[str, ...] = ()
    spans: tuple[tuple[int, int], ...] = ()
    places: tuple[dict[str, Any], ...] = ()
    text_sha256: str = ""
    flags: tuple[str, ...] = ()
    language: str = ""
    masks: tuple[Mask, ...] = ()
    withheld: str = ""

    @property
    def topic(self) -> str:
        """What the chunk is about, on one line: the headings above it, or else its file's name as words."""
        return _topic(self.file_name, self.context)

    def in_document(self, start: int, end: int) -> tuple[int, int]:
        """Return the span of the extracted text that holds a range of the chunk's text."""
        start, end = self._unmasked(start, 0), self._unmasked(end, 1)
        found: list[tuple[int, int]] = []
        offset = 0
        for first, last in self.spans:
            length = last - first
            low, high = max(start, offset), min(end, offset + length)
            if low < high:
                found.append((first + low - offset, first + high - offset))
            offset += length
        return (found[0][0], found[-1][1]) if found else (0, 0)

    def _unmasked(self, position: int, side: int) -> int:
        """Return a place in the text before it was masked; of one inside a placeholder, where the find begins or ends.

        Args:
            side: 0 for where it begins, 1 for where it ends.
        """
        gone = 0
        for mask in self.masks:
            if position <= mask.start:
                break
            if position < mask.end:
                return mask.start + gone + side * mask.length
            gone += mask.length - (mask.end - mask.start)
        return position + gone

    def place(self, position: int) -> dict[str, Any] | None:
        """Return the place in the source of a position of the extracted text."""
        before = [p for p in self.places if p["span"]["start"] <= position]
        return before[-1] if before else (self.places[0] if self.places else None)


@lru_cache(maxsize=256)
def _topic(file_name: str, context: tuple[str, ...]) -> str:
    stem = file_name.rpartition(".")[0] or file_name
    return " ".join(" > ".join(context).split()) or " ".join(re.split(r"[\s_-]+", stem)).strip()


@dataclass(frozen=True)
class Passage:
    """The part of a chunk that one call is about.

    Args:
        start, end: the sentence, in the chunk's text.
        shown_from: where what the LLM sees begins: at start, or at the sentence before if this one leans on it.
    """

    start: int
    end: int
    shown_from: int


@dataclass(frozen=True)
class Verdict:
    """What the checks say of one reply.

    Args:
        prompt, response: the example's texts, tidied; empty if there was nothing to read.
        evidence: the words of the chunk, as they stand there.
        evidence_range: where, in the chunk's text.
        drop_reason: "" for an accepted example.
        detail: what the check saw, for people.
        messages: the whole conversation, each {"role", "content"}, where it is more than one prompt and one response.
        reasoning: what the LLM thought before it answered, where that is kept; "" otherwise.
        flags: what is remarkable about the example, in alphabetical order: PII_EMAIL, CONTROL_TOKENS, …
        scores: what checks and judges measured, by name: grounding, judge, …
        judge_reason: why its judge gave the score that it gave, or none, if that is known; "" without a judge.
    """

    prompt: str = ""
    response: str = ""
    evidence: str = ""
    evidence_range: tuple[int, int] = field(default=(0, 0))
    drop_reason: str = ""
    detail: str = ""
    messages: tuple[dict[str, str], ...] = ()
    reasoning: str = ""
    flags: tuple[str, ...] = ()
    scores: Mapping[str, float] = field(default_factory=dict)
    judge_reason: str = ""

    @property
    def accepted(self) -> bool:
        """Whether no check objects."""
        return not self.drop_reason

    def flagged(self, flag: str) -> Verdict:
        """Return the verdict with one more flag."""
        return replace(self, flags=tuple(sorted({*self.flags, flag})))
