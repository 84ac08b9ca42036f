"""A dataset in numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
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


_NAMED = ("split", "drop_reason", "type", "language")


class Figures:
    """What is counted of a dataset's examples. Of each a few numbers are kept, none of its texts."""

    def __init__(self) -> None:
        self._files: dict[str, _File] = {}
        self._lengths: dict[str, list[int]] = {"prompt": [], "response": []}
        self._named: dict[str, Counter[str]] = {name: Counter() for name in _NAMED}
        self._scores: dict[str, list[float]] = {}
        self._judged: Counter[float] = Counter()
        self._accepted = self._approved = self._unjudged = 0

    def add(self, examples: Iterable[Mapping[str, Any]]) -> None:
        """Count some more examples."""
        for example in examples:
            self._add(example)

    def _add(self, example: Mapping[str, Any]) -> None:
        scores = example.get("scores", {})
        if SCORE in scores:
            self._judged[scores[SCORE]] += 1
        self._unjudged += UNJUDGED in example.get("flags", ())
        if not example["accepted"]:
            self._named["drop_reason"][example["drop_reason"]] += 1
            return
        self._accepted += 1
        self._approved += approved(example)
        self._files.setdefault(example["file"], _File(example["file_name"])).add(example["split"])
        for name, lengths in self._lengths.items():
            lengths.append(len(example[name]))
        for name, score in scores.items():
            self._scores.setdefault(name, []).append(score)
        self._named["split"][example["split"]] += 1
        self._named["type"][example.get("task_type") or _asked(example)] += 1
        self._named["language"][example.get("language") or ""] += 1

    def found(self) -> dict[str, Any]:
        """Return counts and distributions of the examples so far, dropped ones included in the counts."""
        sides, dropped = self._named["split"], self._named["drop_reason"]
        rows = [
            {"file": name, "display_name": file.display_name, "accepted": file.accepted, "split": file.side()}
            for name, file in self._files.items()
        ]
        return {
            "accepted": self._accepted,
            "dropped": [{"reason": reason, "count": count} for reason, count in sorted(dropped.items())],
            "files": sorted(rows, key=lambda f: f["display_name"]),
            "prompt_characters": distribution(self._lengths["prompt"]),
            "response_characters": distribution(self._lengths["response"]),
            "train_examples": sides["SPLIT_TRAIN"],
            "eval_examples": sides["SPLIT_EVAL"],
            "recall_examples": sides["SPLIT_RECALL"],
            "types": named(self._named["type"]),
            "languages": named(self._named["language"]),
            "duplicates": sum(count for reason, count in dropped.items() if "DUPLICATE" in reason),
            "approved": self._approved,
            "scores": {name: distribution(values) for name, values in sorted(self._scores.items())},
            "judged": self._told(),
        }

    def _told(self) -> list[dict[str, Any]]:
        """Return how many examples have each score of the judge, the best first, then those without a readable one."""
        told = sorted(self._judged.items(), reverse=True)
        rows = [{"name": f"{score:g}", "count": count} for score, count in told]
        return [*rows, *([{"name": UNJUDGED, "count": self._unjudged}] if self._unjudged else [])]


@dataclass
class _File:
    """The accepted examples of one document."""

    display_name: str
    accepted: int = 0
    sides: set[str] = field(default_factory=set)

    def add(self, side: str) -> None:
        self.accepted += 1
        # RECALL is a part of the documents that are trained on.
        self.sides.add("SPLIT_TRAIN" if side == "SPLIT_RECALL" else side)

    def side(self) -> str:
        """Return the side of its examples; UNSPECIFIED if they have none, or stand on both.

        An example that is in no version has no side.
        """
        sides = self.sides - {"SPLIT_UNSPECIFIED"}
        return next(iter(sides)) if len(sides) == 1 else "SPLIT_UNSPECIFIED"
