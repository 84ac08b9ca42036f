"""Imports that do not come to their end in peace: killed, or cancelled."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from finetuneflow.dataset.v1 import dataset_service_pb2 as pb
from finetuneflow.dataset.v1 import dataset_service_pb2_grpc
from services.common.natsserver import NatsServer
from tests.fakes import dataset_process
from tests.fakes.datasets import NAME, balanced, dataset_service, ended, state
from tests.fakes.running import channel_to
from tests.fakes.servers import free_ports
from tests.fakes.transfers import begun, imported, lines, report

GOOD = 12_000


def content() -> bytes:
    """Rows of which every tenth is bad, one way or another, and some say the same."""
    rows: list[Any] = [{"prompt": f"What is {n} times {n}?", "completion": f"It is {n * n}."} for n in range(GOOD)]
    for n in range(0, GOOD, 10):
        rows.insert(11 * (n // 10), ({"prompt": f"{n}?"}, [n], rows[0], {"prompt": "", "completion": ""})[n // 10 % 4])
    return lines(rows)


def stored(state: Path) -> Counter[str]:
    """Return how often each example is stored, as a process that was killed left them, by the name."""
    with closing(sqlite3.connect(state / "documents" / "dataset.db")) as store:
        try:
            return Counter(id for (id,) in store.execute("SELECT id FROM c_examples"))
        except sqlite3.OperationalError:
            return Counter()


def stored_count(state: Path) -> int:
    """Return how many examples are stored, read quickly: the next ones are on their way."""
    with closing(sqlite3.connect(state / "documents" / "dataset.db")) as store:
        try:
            return int(store.execute("SELECT count(*) FROM c_examples").fetchone()[0])
        except sqlite3.OperationalError:
            return 0


async def until_stored(state: Path, least: int) -> None:
    """Wait until so many examples are stored."""
    async with asyncio.timeout(60):
        while stored_count(state) < least:  # noqa: ASYNC110 - another process tells nobody
            await asyncio.sleep(0.005)


@pytest.mark.timeout(120)
async def test_an_import_whose_service_is_killed_equals_one_that_never_was(tmp_path: Path) -> None:
    """The same bytes, the same problems, no row twice and none lost, whenever it was killed."""
    data = content()
    async with dataset_service(tmp_path / "whole") as (stub, _):
        whole = await imported(stub, data)
        problems = await report(stub)
    killed, again, held = await interrupted(tmp_path / "killed", data)

    assert state(killed) == "SUCCEEDED"
    assert killed.versions[0].artifact.sha256 == whole.versions[0].artifact.sha256
    assert again == problems
    assert killed.counts == whole.counts
    assert balanced(killed)
    assert [0 < number < GOOD for number in held[1:3]] == [True, True]
    assert stored(tmp_path / "killed") == stored(tmp_path / "whole")
    assert stored(tmp_path / "whole").total() == whole.counts[-1].out


async def interrupted(state: Path, data: bytes) -> tuple[Any, list[dict[str, Any]], list[int]]:
    """Import by a service that is killed while it reads, twice while it stores, and when all is stored.

    Returns: the dataset, its problems, and how many examples were stored at each kill.
    """
    nats = NatsServer(state / "nats")
    await nats.start()
    address = f"127.0.0.1:{free_ports(1)[0]}"
    held: list[int] = []
    try:
        for least in (0, 1, 2_000, GOOD, -1):
            process = dataset_process.start(state, nats.url, address, 1, 1)
            try:
                async with channel_to(address) as channel:
                    stub: Any = dataset_service_pb2_grpc.DatasetServiceStub(channel)
                    await channel.channel_ready()
                    if least == 0:
                        await begun(stub, data)
                    if least < 0:
                        return await ended(stub), await report(stub), held
                    await until_stored(state, min(least, GOOD - 1))
                    process.kill()
            finally:
                process.kill()
                await asyncio.to_thread(process.join)
            held.append(stored(state).total())
    finally:
        await nats.stop()
    raise AssertionError


async def test_a_cancelled_import_ends_at_once_and_leaves_no_example(tmp_path: Path) -> None:
    """Its rows go afterwards; what it said of the file stays."""
    async with dataset_service(tmp_path) as (stub, _):
        await begun(stub, content())
        await until_stored(tmp_path, 1)
        await stub.CancelDataset(pb.CancelDatasetRequest(name=NAME))
        dataset = await ended(stub)
        async with asyncio.timeout(20):
            while stored(tmp_path):  # noqa: ASYNC110 - a table tells nobody
                await asyncio.sleep(0.01)

    assert state(dataset) == "CANCELLED"
    assert not dataset.versions
    assert [p.row for p in dataset.imported.problems][:2] == [1, 12]
