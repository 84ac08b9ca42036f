"""Deleted datasets, and datasets of deleted projects, take everything along."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from pathlib import Path
from typing import Any

import grpc

from finetuneflow.common.v1 import event_pb2
from finetuneflow.dataset.v1 import dataset_service_pb2 as pb
from services.common.bus import Bus
from tests.fakes import llm_server as fake
from tests.fakes.datasets import (
    NAME,
    PROJECT,
    dataset_service,
    generated,
    wanted,
)
from tests.fakes.ingest import library
from tests.fakes.llm_server import llm
from tests.fakes.running import refusal
from tests.service.test_dataset import ABSENT


async def listed(stub: Any) -> list[str]:
    """The names of the project's datasets."""
    return [d.name for d in (await stub.ListDatasets(pb.ListDatasetsRequest(parent=PROJECT))).datasets]


async def refused(call: Any) -> bool:
    """Whether a call finds its name taken."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        if error.code() is not grpc.StatusCode.ALREADY_EXISTS:
            raise
        return True
    return False


async def delete_project(bus: Bus, project: str) -> None:
    """Tell that a project was deleted, as ingest does."""
    event = event_pb2.Event(id=project, type="project.deleted", resource=project)
    await bus.publish("ftf.events.project.deleted", event.SerializeToString())


def documents_of(state: Path, uid: str) -> int:
    """How many documents of the service's database tell of a dataset: itself, its calls, its examples."""
    with contextlib.closing(sqlite3.connect(state / "documents" / "dataset.db")) as database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        bodies = [
            body
            for table in tables
            if table != "meta" and not table.startswith("sqlite_")
            for (body,) in database.execute(f'SELECT body FROM "{table}"')
        ]
    return sum(uid in body for body in bodies)


async def test_a_deleted_dataset_takes_its_examples_calls_and_files_along(tmp_path: Path) -> None:
    """Also while it is being generated; the name is free again afterwards."""
    async with llm(fake.hang(0.01)) as server, dataset_service(tmp_path, server, library(8)) as (stub, _):
        done = await generated(stub)
        busy = await stub.CreateDataset(wanted("busy"))
        before = len(server.requests)
        while len(server.requests) < before + 9:  # noqa: ASYNC110 - what is waited for is in a fake's plain list
            await asyncio.sleep(0.01)
        objects = tmp_path / "objects" / "datasets"
        assert list(objects.rglob("*.jsonl"))
        assert documents_of(tmp_path, done.meta.uid) > 90

        for name in (NAME, busy.name):
            await stub.DeleteDataset(pb.DeleteDatasetRequest(name=name))

        assert await refusal(stub.GetDataset(pb.GetDatasetRequest(name=NAME))) == ABSENT
        assert await refusal(stub.ListExamples(pb.ListExamplesRequest(parent=NAME))) == ABSENT
        async with asyncio.timeout(20):
            while list(objects.rglob("*.jsonl")):  # noqa: ASYNC110 - nothing tells when a file is gone
                await asyncio.sleep(0.05)
            while documents_of(tmp_path, done.meta.uid) + documents_of(tmp_path, busy.meta.uid):  # noqa: ASYNC110 - nor a row
                await asyncio.sleep(0.05)
            while await refused(stub.CreateDataset(wanted())):  # noqa: ASYNC110 - nor when a name is free
                await asyncio.sleep(0.05)


async def test_datasets_of_a_deleted_project_are_deleted(tmp_path: Path) -> None:
    """Told by the event; another project's stay; an event that comes twice does no harm."""
    async with llm() as server, dataset_service(tmp_path, server) as (stub, served):
        await generated(stub)
        bus = await Bus.connect(served.config.nats)
        await delete_project(bus, "projects/other")
        assert await listed(stub)

        for _ in range(2):
            await delete_project(bus, PROJECT)
        async with asyncio.timeout(20):
            while await listed(stub):  # noqa: ASYNC110 - nothing tells when an event was seen
                await asyncio.sleep(0.05)

        await bus.close()
        assert await refusal(stub.GetDataset(pb.GetDatasetRequest(name=NAME))) == ABSENT
