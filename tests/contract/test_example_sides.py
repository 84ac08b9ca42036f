"""What a ledger counts of examples where they are stored."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from services.common.clock import SystemClock
from services.common.documents.port import Document, Documents
from services.common.resources import Resources
from services.dataset import store
from services.dataset.core.ledger import NO_SIDE, on_a_side
from services.dataset.store import EXAMPLE_INDEXES, Examples

SIDES = [NO_SIDE, "SPLIT_TRAIN", "SPLIT_EVAL", "SPLIT_RECALL"]
DATASET = {"_id": "projects/p/datasets/d", "uid": "u1"}
OTHER = {"_id": "projects/p/datasets/other", "uid": "u2"}


def made(number: int, chance: random.Random) -> Document:
    """An example in any state, four of five in the dataset that is asked about."""
    home = DATASET if number % 5 else OTHER
    return {
        "_id": f"{home['_id']}/examples/e-{number}",
        "parent": home["_id"],
        "dataset_uid": home["uid"],
        "order": f"{chance.random()}",
        "accepted": chance.random() < 0.8,
        "drop_reason": chance.choice(["", "REJECTED_BY_REVIEW"]),
        "drop_detail": "",
        "delete_time": chance.choice([None, None, None, 1.5]),
        "split": chance.choice(SIDES),
    }


@pytest.mark.parametrize("many", [0, 1000])
async def test_every_example_is_counted_on_its_side_or_named(
    documents: Documents, many: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In whatever state examples are, in this dataset and in others: as if each had been looked at, in order."""
    monkeypatch.setattr(store, "_MANY", many)
    examples = Examples(Resources(documents.collection("examples", EXAMPLE_INDEXES), "example", SystemClock()))
    chance = random.Random(5)
    there = [made(number, chance) for number in range(200)]
    await examples.resources.collection.insert_many(there)

    sides, others = await examples.sides(DATASET)

    own = sorted((e for e in there if e["dataset_uid"] == "u1"), key=lambda e: str(e["order"]))
    assert +sides == Counter(e["split"] for e in own if on_a_side(e))
    assert [e["_id"] for e in others] == [e["_id"] for e in own if not on_a_side(e)]
