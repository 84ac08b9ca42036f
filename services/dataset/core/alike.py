"""Which examples say the same as an earlier one in other words, by the vectors of their texts."""

from __future__ import annotations

from dataclasses import replace

from services.dataset.core.doubles import Facts, sketched
from services.dataset.core.example import Verdict
from services.dataset.core.vectors import MOST_BYTES, Vector, Vectors

THRESHOLD = 0.92
"""Least cosine of semantic duplicates, unless the dataset says otherwise."""
DROPPED = "SEMANTIC_DUPLICATE"
SCORE = "likeness"


class Alike:
    """The accepted examples so far, by name.

    Args:
        threshold: least cosine; two that differ in a number, a name or a "not" never count as alike.
        most_bytes: memory of their vectors at most; beyond it the oldest example is forgotten for each new one.
    """

    def __init__(self, threshold: float, most_bytes: int = MOST_BYTES) -> None:
        self._vectors = Vectors(threshold, most_bytes)
        self._facts: dict[str, Facts] = {}

    def judge(self, name: str, verdict: Verdict, text: str, vector: Vector) -> Verdict:
        """Return an accepted verdict, or SEMANTIC_DUPLICATE if an earlier one says the same; else it is remembered.

        Args:
            text: what the example is compared by.
            vector: that text's.
        """
        told, _ = sketched(text)
        for other, cosine in self._vectors.like(vector).items():
            if told.same(self._facts[other]):
                scores = {**verdict.scores, SCORE: cosine}
                return replace(verdict, drop_reason=DROPPED, detail=other, scores=scores)
        self._facts[name] = told
        self._facts.pop(self._vectors.add(name, vector), None)
        return verdict
