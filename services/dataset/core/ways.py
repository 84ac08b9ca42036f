"""Which ways examples go on from a step of the ledger, where a server had a say: with its answer, or without."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from services.dataset.core.judging import SCORE, UNJUDGED

UNCOMPARED = "UNCOMPARED"
"""Flag of an example that was not compared by its vector, for the server of embeddings refused its text."""

Example = Mapping[str, Any]


def judged(example: Example) -> bool:
    """Whether a judge was asked about an example."""
    return SCORE in example.get("scores", {}) or UNJUDGED in example.get("flags", ())


def ways(step: str, went: Collection[Example]) -> dict[str, int]:
    """Return how many of the examples that a step let on went which way, by name; nothing where there is one way."""
    if step == "judge":
        scored = sum(SCORE in example.get("scores", {}) for example in went)
        found = {"scored": scored, "unscored": len(went) - scored}
        return {name: count for name, count in found.items() if count}
    refused = sum(UNCOMPARED in example.get("flags", ()) for example in went) if step == "checks" else 0
    return {"compared": len(went) - refused, "uncompared": refused} if refused else {}
