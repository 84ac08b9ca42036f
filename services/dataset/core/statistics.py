"""A dataset in numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

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


def statistics(examples: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return counts and distributions of a dataset's examples, dropped ones included in the counts."""
    accepted = [e for e in examples if e["accepted"]]
    files: dict[str, dict[str, Any]] = {}
    for example in accepted:
        entry = files.setdefault(
            example["file"], {"file": example["file"], "display_name": example["file_name"], "accepted": 0, "split": ""}
        )
        entry["accepted"] += 1
        # A file with any example held out is held out as a whole; RECALL is a part of TRAIN's documents.
        entry["split"] = "SPLIT_EVAL" if example["split"] == "SPLIT_EVAL" else "SPLIT_TRAIN"
    sides = Counter(e["split"] for e in accepted)
    dropped = Counter(e["drop_reason"] for e in examples if not e["accepted"])
    return {
        "accepted": len(accepted),
        "dropped": [{"reason": reason, "count": count} for reason, count in sorted(dropped.items())],
        "files": sorted(files.values(), key=lambda f: f["display_name"]),
        "prompt_characters": distribution([len(e["prompt"]) for e in accepted]),
        "response_characters": distribution([len(e["response"]) for e in accepted]),
        "train_examples": sides["SPLIT_TRAIN"],
        "eval_examples": sides["SPLIT_EVAL"],
        "recall_examples": sides["SPLIT_RECALL"],
        "types": named([e.get("task_type") or _asked(e) for e in accepted]),
        "languages": named([e.get("language") or "" for e in accepted]),
        "duplicates": sum(count for reason, count in dropped.items() if "DUPLICATE" in reason),
        "approved": sum(map(approved, accepted)),
    }
