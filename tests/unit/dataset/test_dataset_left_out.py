"""Reports of imports: the first rows of each reason, and pages that read no more than they return."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from services.common.documents.port import Document
from services.common.errors import InvalidArgument
from services.common.objects.folder import FolderObjects
from services.common.objects.port import BLOCK
from services.dataset.core.ledger import SHOWN
from services.dataset.leftout import LeftOut

KEY = "datasets/u/report-1.jsonl"
REASONS = ("DUPLICATE", "MISSING_FIELD", "MISSING_FIELD")
ROWS = [
    {"row": number, "reason": REASONS[number % 3], "message": f"{number} is äs bad as it can be. Mend it."}
    for number in range(1, 20_001)
]


class Counting(FolderObjects):
    """A folder of objects that counts the blocks that it gives away."""

    blocks = 0

    async def get(self, key: str, offset: int = 0, length: int = -1) -> AsyncIterator[bytes]:
        """See port.Objects."""
        async for block in super().get(key, offset, length):
            self.blocks += 1
            yield block


@pytest.fixture
async def objects(tmp_path: Path) -> Counting:
    """A store with the report of an import that left out 20,000 rows."""
    store = Counting(tmp_path / "objects")
    await store.put(KEY, "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in ROWS).encode())
    return store


async def report(objects: Counting) -> Document:
    """The report's record."""
    size = await objects.size(KEY)
    assert size
    assert size > BLOCK
    return {"key": KEY, "size_bytes": size}


async def test_of_each_reason_the_first_rows_are_held_and_no_others(objects: Counting) -> None:
    """However many there are."""
    found = await LeftOut(objects).first(await report(objects))

    for reason in set(REASONS):
        named = [f"row {row['row']}" for row in ROWS if row["reason"] == reason]
        assert [row.name for row in found[reason]] == named[:SHOWN]


@pytest.mark.parametrize("reasons", [{"DUPLICATE"}, set(REASONS), {"OTHER"}])
async def test_pages_together_are_the_rows_in_order(objects: Counting, reasons: set[str]) -> None:
    """Across the ends of blocks, none twice."""
    left_out, record, rows, start = LeftOut(objects), await report(objects), list[Any](), 0
    while True:
        page, start = await left_out.page(record, reasons, 999, start)
        assert len(page) <= 999
        rows += page
        if not start:
            break

    wanted = [row for row in ROWS if row["reason"] in reasons]
    assert [(r.reason, r.name, r.detail) for r in rows] == [
        (w["reason"], f"row {w['row']}", w["message"]) for w in wanted
    ]


async def test_a_page_reads_on_from_where_the_one_before_ended(objects: Counting) -> None:
    """One block for a short page, wherever it starts; within a line none does."""
    left_out, record = LeftOut(objects), await report(objects)
    _, start = await left_out.page(record, set(REASONS), 1000, 0)
    objects.blocks = 0
    rows, after = await left_out.page(record, set(REASONS), 5, start)

    assert [row.name for row in rows] == [f"row {number}" for number in range(1001, 1006)]
    assert objects.blocks == 1
    with pytest.raises(InvalidArgument, match="page_token"):
        await left_out.page(record, set(REASONS), 5, after - 1)
    assert await left_out.page(record, set(REASONS), 5, record["size_bytes"] + 9) == ([], 0)
