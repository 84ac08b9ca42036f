"""Reports of work that has ended: one object, the same series, a summary."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from finetuneflow.common.v1 import worker_service_pb2 as pb
from finetuneflow.training.v1 import run_pb2
from services.common.clock import SystemClock
from services.common.documents.port import Document
from services.common.documents.sqlite import SqliteDocuments
from services.common.jobs.port import Resources as Wanted
from services.common.jobwork import reports as report_store
from services.common.jobwork import state
from services.common.jobwork.host import Kind
from services.common.jobwork.packing import Packing
from services.common.jobwork.reports import ReportStore
from services.common.jobwork.summary import Summary
from services.common.objects.folder import FolderObjects
from services.common.resources import INDEXES, Resources
from services.common.work import finish, queued

RUN = "projects/p/runs/r"


async def _spec(doc: Document) -> run_pb2.TrainSpec:
    return run_pb2.TrainSpec()


KIND = Kind(
    "run", "projects/*/runs/*", ("train",), "", "", run_pb2.RunResult, _spec, lambda doc: 2, lambda doc: Wanted()
)


@dataclass
class World:
    """One store, and a run whose trainer was replaced at step 1,200."""

    runs: Resources
    reports: ReportStore
    objects: FolderObjects

    def packing(self) -> Packing:
        """Return one replica's."""
        return Packing(KIND, self.runs, self.reports, self.objects, 1.0)

    async def read(self, after: int = 0) -> list[pb.Report]:
        """Return the whole series after a seq."""
        doc, found = await self.runs.get(RUN), []
        while batch := await self.reports.read(doc, after):
            found += batch
            after = batch[-1].seq
        return found

    async def keys(self) -> list[str]:
        """Return the objects that there are."""
        return [key async for key in self.objects.list("runs/")]


def _point(seq: int, step: int) -> pb.Report:
    return pb.Report(seq=seq, metrics=pb.MetricPoint(step=step, total_steps=3000, values={"loss": 1 / step}))


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """A run of 3,000 steps in two attempts, the second from step 1,000, which has ended."""
    documents = SqliteDocuments(tmp_path / "d.db")
    objects = FolderObjects(tmp_path / "objects")
    runs = Resources(documents.collection("runs", INDEXES), "run", SystemClock())
    reports = ReportStore(documents.collection("reports", report_store.INDEXES), objects)
    fields = {**state.new_job_fields(), "parent": "projects/p", "work": queued(time.time())}
    doc = await runs.create(RUN, {"display_name": "", "labels": {}, "annotations": {}, **fields})
    state.begin(doc, "pod-1", 0, 1.0)
    state.settle(doc, {})
    for first in range(1, 1201, 300):
        await reports.append(doc, 1, [_point(seq, seq) for seq in range(first, first + 300)])
    state.begin(doc, "pod-2", 0, 2.0)
    doc["attempts"][-1]["from_step"] = 1000
    state.settle(doc, {1: 1200})
    for first in range(1201, 3201, 500):
        await reports.append(doc, 2, [_point(seq, seq - 200) for seq in range(first, first + 500)])
    finish(doc["work"], "SUCCEEDED", 3.0)
    await runs.collection.replace(doc)
    yield World(runs, reports, objects)
    await documents.close()


async def test_the_series_is_the_same_from_every_cursor(world: World) -> None:
    """The batches are gone, and with them nothing."""
    before = await world.read()
    cursors = (0, 1, 999, 1000, 1001, 1999, 2500, 3199, 3200, 5000)
    expected = [[r.seq for r in before if r.seq > after] for after in cursors]
    await world.packing().sweep()
    doc = await world.runs.get(RUN)

    assert await world.read() == before
    assert [[r.seq for r in await world.read(after)] for after in cursors] == expected
    assert doc["packed"] == "DONE"
    assert (doc["packed_reports"]["count"], await world.reports.last_seq(doc, 2)) == (3200, 3200)
    assert await world.reports.newest(doc["uid"], 1) == 0


async def test_two_replicas_that_pack_leave_one_object(world: World) -> None:
    """And a repeat does nothing."""
    await asyncio.gather(world.packing().sweep(), world.packing().sweep())
    keys = await world.keys()
    await world.packing().sweep()

    assert len(keys) == 1
    assert await world.keys() == keys == [(await world.runs.get(RUN))["packed_reports"]["key"]]


async def test_work_that_has_not_ended_is_left_alone(world: World) -> None:
    """Its batches still grow."""
    await world.runs.change(RUN, lambda doc: doc["work"].update(state="RUNNING"))
    await world.packing().sweep()

    assert await world.keys() == []
    assert len(await world.read()) == 3200


async def test_work_without_reports_needs_no_object(world: World) -> None:
    """As when it was cancelled before it began."""
    await world.reports.forget((await world.runs.get(RUN))["uid"])
    await world.packing().sweep()

    assert (await world.keys(), (await world.runs.get(RUN))["packed"]) == ([], "DONE")


async def test_the_summary_has_few_points_and_the_later_of_steps_done_twice(world: World) -> None:
    """In the order of the steps, from the first to the last."""
    await world.packing().sweep()
    points = await world.reports.summary((await world.runs.get(RUN))["uid"])
    steps = [point.step for point in points]

    assert 400 <= len(points) <= 1000
    assert steps == sorted(set(steps))
    assert (steps[0], steps[-1]) == (1, 3000)


def test_a_short_curve_is_its_own_summary() -> None:
    """Nothing is left out that need not be; reports without numbers are no points."""
    summary = Summary({1: 0})
    for seq in range(1, 500):
        summary.add(_point(seq, seq))
        summary.add(pb.Report(seq=seq, log=pb.LogLine(text="x")))

    assert [point.step for point in summary.points()] == list(range(1, 500))
    assert Summary({}).points() == []
