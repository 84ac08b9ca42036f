"""The balance of a dataset after its examples were changed: the stages that are made of examples, counted anew."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from services.dataset.core.ledger import fate

_MADE_OF_EXAMPLES = ("replies", "examples")


def recounted(counts: Sequence[Mapping[str, Any]], examples: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return stages {"stage", "in", "out", "dropped"} with those of replies and examples as they are now.

    Args:
        counts: what generation told; stages before the replies stay.
        examples: every example, deleted ones too.
    """
    fates = [fate(example) for example in examples]
    unread = Counter(reason for step, reason in fates if step == "replies")
    dropped = Counter(reason for step, reason in fates if step not in ("", "replies"))
    read = len(fates) - unread.total()
    now = {
        "replies": {"in": len(fates), "out": read, "dropped": dict(sorted(unread.items()))},
        "examples": {"in": read, "out": read - dropped.total(), "dropped": dict(sorted(dropped.items()))},
    }
    return [
        {"stage": count["stage"], **now[count["stage"]]} if count["stage"] in _MADE_OF_EXAMPLES else dict(count)
        for count in counts
    ]


def flags(examples: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Return how many examples that are in the dataset have each flag."""
    return dict(Counter(flag for e in examples if fate(e) == ("", "") for flag in e.get("flags", ())))
