"""Lengths of examples in tokens: percentiles, classes, and what a longest length would cut."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

PERCENTS = (5, 25, 50, 75, 95, 99)
CLASSES = 20
_STEPS = (1, 2, 5)


def text(example: Mapping[str, Any], system_prompt: str) -> str:
    """Return all that a model reads of an example: system prompt, conversation, reasoning."""
    said = [str(m.get("content", "")) for m in example.get("messages", ())] or [example["prompt"], example["response"]]
    return "\n".join(part for part in (system_prompt, example.get("reasoning", ""), *said) if part)


def lengths(tokenizer: str, counts: Sequence[int], max_length: int) -> dict[str, Any]:
    """Return the fields of TokenStatistics for some lengths; percentiles by nearest rank."""
    ranked = sorted(counts)
    some = ranked or [0]
    truncated = sum(count > max_length for count in ranked) if max_length else 0
    return {
        "tokenizer": tokenizer,
        "total": sum(ranked),
        "min": some[0],
        "mean": sum(some) / len(some),
        "max": some[-1],
        # The smallest length that so many percent of the examples do not go beyond.
        "percentiles": [{"percent": p, "tokens": some[max(0, -(-p * len(some) // 100) - 1)]} for p in PERCENTS],
        "histogram": histogram(ranked),
        "max_length": max_length,
        "truncated": truncated,
        "truncated_share": truncated / len(ranked) if ranked else 0.0,
    }


def histogram(counts: Sequence[int]) -> list[dict[str, int]]:
    """Return classes of one round width, 20 at most, from the shortest to the longest; empty classes too."""
    if not counts:
        return []
    least, most = min(counts), max(counts)
    width = next(
        step * 10**power
        for power in range(12)
        for step in _STEPS
        if most // (step * 10**power) - least // (step * 10**power) < CLASSES
    )
    found = Counter(count // width for count in counts)
    return [
        {"from": n * width, "to": (n + 1) * width, "count": found[n]} for n in range(least // width, most // width + 1)
    ]


def named(counts: Mapping[str, int]) -> list[dict[str, Any]]:
    """Return how often each value occurs, most first."""
    return [{"name": name, "count": n} for name, n in sorted(counts.items(), key=lambda i: (-i[1], i[0]))]
