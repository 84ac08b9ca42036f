"""Pages of ledgers and differences: together they are the whole, and each costs what it returns."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from finetuneflow.dataset.v1 import dataset_service_pb2 as pb
from finetuneflow.dataset.v1 import ledger_pb2, versions_pb2
from services.common.clock import SystemClock
from services.common.documents.port import Collection, Document
from services.common.documents.sqlite import SqliteDocuments
from services.common.errors import InvalidArgument
from services.common.resources import Resources
from services.dataset.accounts import Accounts
from services.dataset.core.ledger import OF_EXAMPLES, ledger
from services.dataset.kept import Kept
from services.dataset.ledgerrows import LedgerRows
from services.dataset.store import EXAMPLE_INDEXES, Examples
from tests.fakes.datasets import NAME, dataset_service, examples, generated
from tests.fakes.llm_server import llm
from tests.service.test_dataset_ledger import freeze, mixed, steps

DATASET: Document = {"uid": "u", "counts": [{"stage": "calls", "in": 9, "out": 7, "dropped": {"LIMIT_REACHED": 2}}]}
FATES = ("INVALID_JSON", "DUPLICATE", "", "REJECTED_BY_REVIEW", "", "DUPLICATE", "DUPLICATE")


class Counting:
    """A collection that counts what it gives away."""

    def __init__(self, inner: Collection) -> None:
        self._inner = inner
        self.read = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def find(self, where: Any, **how: Any) -> list[Document]:
        """See port.Collection."""
        docs = await self._inner.find(where, **how)
        self.read += len(docs)
        return docs


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Counting]:
    """420 examples of one dataset, each with another fate than the one before, and one deleted."""
    documents = SqliteDocuments(tmp_path / "d.db")
    counting = Counting(documents.collection("examples", EXAMPLE_INDEXES))
    resources = Resources(counting, "example", SystemClock())
    made = []
    for number in range(420):
        reason = FATES[number % len(FATES)]
        fields = {"accepted": not reason, "drop_reason": reason, "drop_detail": f"as {number}", "dataset_uid": "u"}
        made.append((f"d/examples/{number:03}", {**fields, "split": "SPLIT_UNSPECIFIED"}))
    await resources.create_many(made)
    await resources.delete("d/examples/002")
    yield counting
    await documents.close()


def rows_of(counting: Counting) -> LedgerRows:
    """The rows of a store; no files and no plan are asked for."""
    examples = Examples(Resources(counting, "example", SystemClock()))
    nothing: Any = None
    return LedgerRows(Accounts(nothing, examples, nothing), examples)


async def all_rows(rows: LedgerRows, dataset: Document, step: str, reason: str, size: int) -> list[Any]:
    """Return the rows of a step, page by page."""
    found: list[Any] = []
    token = ""
    while True:
        page, token = await rows.page(dataset, step, reason, size, token)
        assert len(page) <= size
        found += page
        if not token:
            return found


@pytest.mark.parametrize("size", [7, 1000])
async def test_the_pages_of_a_step_are_its_rows(store: Counting, size: int) -> None:
    """In order, none twice, of every step, with a reason or without; a step that was not taken has none."""
    dataset = {**DATASET, "versions": []}
    docs = await store.find({"dataset_uid": "u"}, sort="order")
    whole = {step.name: list(step.rows) for step in ledger(None, DATASET["counts"], docs)}
    rows = rows_of(store)

    for step in ("calls", *OF_EXAMPLES):
        assert await all_rows(rows, dataset, step, "", size) == whole.get(step, [])
    wanted = [row for row in whole["checks"] if row.reason == "DUPLICATE"]
    assert await all_rows(rows, dataset, "checks", "DUPLICATE", size) == wanted
    with pytest.raises(InvalidArgument, match="page_size"):
        await rows.page(dataset, "checks", "", 1001, "")


async def test_all_pages_together_read_each_example_about_once(store: Counting) -> None:
    """Not every example for every page; the steps before the examples are made once."""
    rows, dataset = rows_of(store), {**DATASET, "versions": []}
    store.read = 0
    await all_rows(rows, dataset, "review", "", 10)
    of_examples, store.read = store.read, 0
    await all_rows(rows, dataset, "calls", "", 1)
    of_calls = store.read

    assert 420 <= of_examples <= 3 * 420
    assert of_calls == 420


async def pages(method: Any, request: Any, field: str) -> list[Any]:
    """Return what a method lists, page by page."""
    found: list[Any] = []
    while True:
        page = await method(request)
        found += getattr(page, field)
        request.page_token = page.next_page_token
        if not request.page_token:
            return found


async def test_pages_of_a_difference_and_of_every_step_are_the_whole(tmp_path: Path) -> None:
    """Over real gRPC: the same rows one by one as at once."""
    async with llm(mixed) as server, dataset_service(tmp_path, server) as (stub, _):
        await generated(stub, recall_fraction=0.0)
        known = await steps(stub)
        for name in known:
            request = ledger_pb2.ListLedgerRowsRequest(parent=NAME, step=name, page_size=2)
            listed = [row.name for row in await pages(stub.ListLedgerRows, request, "rows")]
            assert sorted(listed) == sorted(row for drop in known[name].dropped for row in drop.rows)
        (first, *_) = await examples(stub)
        await stub.DeleteExample(pb.DeleteExampleRequest(name=first.name))
        await freeze(stub)
        request_one = versions_pb2.DiffVersionsRequest(base=NAME, base_version=1, page_size=1)
        one_by_one = await pages(stub.DiffVersions, request_one, "changes")
        at_once = (await stub.DiffVersions(versions_pb2.DiffVersionsRequest(base=NAME, base_version=1))).changes

    assert one_by_one == list(at_once)
    assert [change.example for change in at_once if change.kind == versions_pb2.CHANGE_KIND_REMOVED] == [first.name]


async def test_results_are_kept_until_others_need_the_room() -> None:
    """What was not asked for longest goes; what is larger than all the room is made each time; errors are not kept."""
    made: list[str] = []
    kept: Kept[str] = Kept(len, 6)

    async def get(value: str) -> str:
        async def make() -> str:
            made.append(value)
            if value == "bad":
                raise InvalidArgument("no.")
            return value

        return await kept.get(value, make)

    for value in ("aaa", "bbb", "aaa", "cc", "bbb", "much longer", "much longer"):
        assert await get(value) == value
    for _ in range(2):
        with pytest.raises(InvalidArgument):
            await get("bad")

    assert made == ["aaa", "bbb", "cc", "bbb", "much longer", "much longer", "bad", "bad"]


async def test_what_was_begun_before_all_was_let_go_is_not_kept() -> None:
    """It is given to who asked for it, and made anew for the next."""
    going, made = asyncio.Event(), 0
    kept: Kept[str] = Kept(len, 6)

    async def make() -> str:
        nonlocal made
        made += 1
        await going.wait()
        return "aaa"

    first = asyncio.create_task(kept.get("key", make))
    await asyncio.sleep(0)
    kept.clear()
    going.set()

    assert await first == "aaa"
    assert [await kept.get("key", make), await kept.get("key", make), made] == ["aaa", "aaa", 2]
