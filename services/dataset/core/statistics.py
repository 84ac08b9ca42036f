"""A dataset in numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from services.dataset.core.judging import SCORE, UNJUDGED
from services.dataset.core.lengths import named
from services.dataset.core.review import approved


def distribution(values: Sequence[float]) -> dict[str, float]:
    """Return min, mean, p50, p95 and max of some values by the nearest-rank method; all 0 for none."""
    if not values:
        return dict.fromkeys(("min", "mean", "p50", "p95", "max"), 0.0)
    ranked = sorted(values)

    def percentile(share: float) -> float:
        return ranked[min(len(ranked) - 1, int(share * len(ranked)))]

    mean = sum(ranked) / len(ranked)
    return {"min": ranked[0], "mean": mean, "p50": percentile(0.5), "p95": percentile(0.95), "max": ranked[-1]}


def _asked(example: Mapping[str, Any]) -> str:
    """Return the task of an example that does not say it: the prompt template's name, "question-answer"."""
    return str(example.get("prompt_version") or "").partition("/")[0]


def _side(examples: Iterable[Mapping[str, Any]]) -> str:
    """Return the side of a document's examples; UNSPECIFIED if they have none, or stand on both.

    RECALL is a part of the documents that are trained on; an example that is in no version has no side.
    """
    sides = {"SPLIT_TRAIN" if e["split"] == "SPLIT_RECALL" else e["split"] for e in examples} - {"SPLIT_UNSPECIFIED"}
    return sides.pop() if len(sides) == 1 else "SPLIT_UNSPECIFIED"


def statistics(examples: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return counts and distributions of a dataset's examples, dropped ones included in the counts."""
    accepted = [e for e in examples if e["accepted"]]
    files: dict[str, list[Mapping[str, Any]]] = {}
    for example in accepted:
        files.setdefault(example["file"], []).append(example)
    rows = [
        {"file": file, "display_name": some[0]["file_name"], "accepted": len(some), "split": _side(some)}
        for file, some in files.items()
    ]
    sides = Counter(e["split"] for e in accepted)
    dropped = Counter(e["drop_reason"] for e in examples if not e["accepted"])
    return {
        "accepted": len(accepted),
        "dropped": [{"reason": reason, "count": count} for reason, count in sorted(dropped.items())],
        "files": sorted(rows, key=lambda f: f["display_name"]),
        "prompt_characters": distribution([len(e["prompt"]) for e in accepted]),
        "response_characters": distribution([len(e["response"]) for e in accepted]),
        "train_examples": sides["SPLIT_TRAIN"],
        "eval_examples": sides["SPLIT_EVAL"],
        "recall_examples": sides["SPLIT_RECALL"],
        "types": named([e.get("task_type") or _asked(e) for e in accepted]),
        "languages": named([e.get("language") or "" for e in accepted]),
        "duplicates": sum(count for reason, count in dropped.items() if "DUPLICATE" in reason),
        "approved": sum(map(approved, accepted)),
        "scores": _scores(accepted),
        "judged": _judged(examples),
    }


def _scores(examples: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """Return how each score is spread over the examples that have it."""
    found: dict[str, list[float]] = {}
    for example in examples:
        for name, score in example.get("scores", {}).items():
            found.setdefault(name, []).append(score)
    return {name: distribution(values) for name, values in sorted(found.items())}


def _judged(examples: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return how many examples have each score of the judge, the best first, then those without a readable one."""
    told = Counter(e["scores"][SCORE] for e in examples if SCORE in e.get("scores", {}))
    rows = [{"name": f"{score:g}", "count": count} for score, count in sorted(told.items(), reverse=True)]
    unread = sum(UNJUDGED in e.get("flags", ()) for e in examples)
    return [*rows, *([{"name": UNJUDGED, "count": unread}] if unread else [])]
