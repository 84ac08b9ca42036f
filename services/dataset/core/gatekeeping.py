"""The gate of grounding: an example's score, and whether that is enough."""

from __future__ import annotations

from dataclasses import replace

from services.dataset.core.example import Source, Verdict
from services.dataset.core.grounding import grounding, near


def grounded(response: str, evidence: str, place: tuple[int, int], prompt: str, source: Source) -> tuple[float, str]:
    """Return the score of an answer whose evidence stands at a place of a chunk, and what is wrong with it."""
    around = f"{near(place, source.text)} {source.topic}"
    return grounding(response, evidence, around, prompt, f"{source.text} {source.topic}")


def gate(verdict: Verdict, source: Source, least: float) -> Verdict:
    """Return the verdict with its score, and dropped as ANSWER_NOT_GROUNDED if that is below the least."""
    score, wrong = grounded(verdict.response, verdict.evidence, verdict.evidence_range, verdict.prompt, source)
    verdict = replace(verdict, scores={**verdict.scores, "grounding": score})
    if verdict.drop_reason or score >= least:
        return verdict
    return replace(verdict, drop_reason="ANSWER_NOT_GROUNDED", detail=f"score {score:.2f}; {wrong}"[:200])
