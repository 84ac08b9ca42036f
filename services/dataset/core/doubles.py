"""Which examples say what another one says already, in the order of the plan."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from services.dataset.core.checks import Seen
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


def facts(text: str) -> Facts:
    """Return a text's facts."""
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
        self._facts: list[Facts] = []
        self._prompts: list[str] = []

    def judge(self, verdict: Verdict) -> Verdict:
        """Return the verdict, or DUPLICATE or NEAR_DUPLICATE; an accepted one is remembered."""
        verdict = self._seen.compared(verdict)
        if not verdict.accepted:
            return verdict
        verdict = self._compared(verdict, self._near) if self._near else verdict
        if verdict.accepted:
            self._seen.remember(verdict)
        return verdict

    def _compared(self, verdict: Verdict, known: Nearness) -> Verdict:
        text = said(verdict.prompt, verdict.response, verdict.messages)
        told, plain = facts(text), normalise(text).text
        for number in known.near(plain):
            if told.same(self._facts[number]):
                return replace(verdict, drop_reason="NEAR_DUPLICATE", detail=self._prompts[number][:200])
        known.add(plain)
        self._facts.append(told)
        self._prompts.append(verdict.prompt)
        return verdict


def said(prompt: str, response: str, messages: Sequence[Mapping[str, str]]) -> str:
    """Return all that an example teaches, as one text."""
    told = [str(message.get("content") or "") for message in messages]
    return "\n".join(told or [prompt, response])
