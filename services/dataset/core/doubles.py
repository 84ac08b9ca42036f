"""Which examples say what another one says already, in the order of the plan."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

from services.dataset.core.checks import Seen
from services.dataset.core.compared import Compared, compared
from services.dataset.core.evidence import normalise
from services.dataset.core.example import Verdict
from services.dataset.core.nearness import Nearness
from services.dataset.core.words import capitalised, known_numbers, words

NEAR = 0.9
"""Least Jaccard similarity of near duplicates, unless the dataset says otherwise."""
_NOT = re.compile(r"\b(?:not|never|no|nobody|nothing|none|neither|nor|cannot|without)\b|n['’]t\b", re.I)


@dataclass(frozen=True)
class Facts:
    """What tells two texts apart although nearly all of their letters are the same."""

    numbers: frozenset[str]
    names: frozenset[str]
    words: frozenset[str]
    negations: int

    def same(self, other: Facts) -> bool:
        """Whether both have the same numbers, no name that the other lacks, and as many a "not"."""
        named = self.names <= other.words and other.names <= self.words
        return named and self.numbers == other.numbers and self.negations == other.negations


@lru_cache(maxsize=256)
def facts(text: str) -> Facts:
    """Return a text's facts: made anew when they are asked for, for they are ten times as large as the text."""
    return Facts(known_numbers(text), capitalised(text), words(text), len(_NOT.findall(text)))


class Doubles:
    """The accepted examples so far.

    Args:
        threshold: least similarity of near duplicates; 1 looks for none but those with the same prompt, or with the
            same response and nearly the same prompt.
    """

    def __init__(self, threshold: float = NEAR) -> None:
        self._seen = Seen()
        self._near = Nearness(threshold) if threshold < 1 else None
        self._texts: list[str] = []
        self._prompts: list[str] = []

    def judge(
        self, verdict: Verdict, by: Compared | None = None, also: Callable[[Verdict], Verdict] | None = None
    ) -> Verdict:
        """Return the verdict, or DUPLICATE or NEAR_DUPLICATE; an accepted one is remembered.

        Args:
            by: what it is compared by; None for all that it teaches.
            also: what else may be said of one that is accepted so far, before it is remembered.
        """
        if not verdict.accepted:
            return verdict
        by = by or compared(None, verdict.prompt, verdict.response, verdict.messages)
        seen = replace(verdict, prompt=by.prompt)
        found = self._seen.compared(seen)
        if found.accepted and self._near:
            found = self._beside(found, by.whole, self._near)
        verdict = replace(verdict, drop_reason=found.drop_reason, detail=found.detail)
        if also and verdict.accepted:
            verdict = also(verdict)
        if verdict.accepted:
            self._remember(seen, by.whole)
        return verdict

    def _beside(self, verdict: Verdict, text: str, known: Nearness) -> Verdict:
        told, plain = sketched(text)
        for number in known.near(plain):
            if told.same(facts(self._texts[number])):
                return replace(verdict, drop_reason="NEAR_DUPLICATE", detail=self._prompts[number][:200])
        return verdict

    def _remember(self, seen: Verdict, text: str) -> None:
        self._seen.remember(seen)
        if self._near:
            self._near.add(sketched(text)[1])
            self._texts.append(text)
            self._prompts.append(seen.prompt)


@lru_cache(maxsize=8)
def sketched(text: str) -> tuple[Facts, str]:
    """Return a text's facts and its normal form; what is asked for is mostly remembered next."""
    return facts(text), normalise(text).text
