"""Which checkpoints of a piece of work are kept."""

from __future__ import annotations

import random
from typing import Any

from services.common.jobwork import state


def checkpoint(step: int, *, best: bool = False, diverging: bool = False) -> dict[str, Any]:
    """A complete checkpoint."""
    return {"step": step, "attempt": 1, "files": [], "best": best, "diverging": diverging}


def test_the_best_and_the_newest_good_one_stay_beside_the_newest() -> None:
    """Over random series: by count, and besides those two none."""
    chance = random.Random(5)
    for _ in range(200):
        doc: dict[str, Any] = {"checkpoints": []}
        keep, gone, made = chance.randint(1, 3), [], []
        for step in range(1, 15):
            made.append(checkpoint(step, best=chance.random() < 0.3, diverging=chance.random() < 0.5))
            gone += [c["step"] for c in state.add_checkpoint(doc, dict(made[-1]), keep)]
        kept = [c["step"] for c in doc["checkpoints"]]
        best = max((c["step"] for c in made if c["best"]), default=None)
        # One that was let go when a good one came after it does not come back.
        good = max((c["step"] for c in made if not c["diverging"]), default=None)
        newest = list(range(15 - keep, 15))

        assert kept == sorted({*newest, *filter(None, (best, good))})
        assert sorted([*kept, *gone]) == list(range(1, 15))
        assert [c["step"] for c in doc["checkpoints"] if c["best"]] == ([best] if best else [])
        assert state.good_step(doc) == (good or 0)


def test_checkpoints_from_before_there_was_a_best_are_kept_by_count() -> None:
    """They say nothing of it."""
    doc: dict[str, Any] = {"checkpoints": [{"step": 1, "attempt": 1, "files": []}]}
    for step in (2, 3):
        state.add_checkpoint(doc, {"step": step, "attempt": 1, "files": []}, 2)

    assert [c["step"] for c in doc["checkpoints"]] == [2, 3]
    assert state.best_checkpoint(doc) is None
