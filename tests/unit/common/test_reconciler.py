"""Two reconcilers over the same documents and the same Jobs: what one does while the other sleeps."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.empty_pb2 import Empty

from finetuneflow.common.v1 import worker_service_pb2 as pb
from services.common.auth import Signer
from services.common.clock import SystemClock
from services.common.documents.port import Document
from services.common.documents.sqlite import SqliteDocuments
from services.common.errors import NotReady
from services.common.jobs.port import Resources as Wanted
from services.common.jobs.process import ProcessJobs
from services.common.jobwork import reports as report_store
from services.common.jobwork import state
from services.common.jobwork.host import Kind
from services.common.jobwork.reconciler import Reconciler
from services.common.jobwork.reports import ReportStore
from services.common.objects.folder import FolderObjects
from services.common.resources import INDEXES, Resources
from services.common.work import cancel, queued
from tests.fakes.overlaid_jobs import OverlaidJobs
from tests.fakes.stopping import stop_all

RUN = "projects/p/runs/r"
SLEEP = "import time; time.sleep(300)"


async def _nothing(doc: Document) -> Empty:
    return Empty()


@dataclass
class World:
    """One store, one runner, as many reconcilers as a test wants."""

    runs: Resources
    reports: ReportStore
    objects: FolderObjects
    jobs: OverlaidJobs
    program: str = SLEEP

    def replica(self) -> tuple[Reconciler, OverlaidJobs]:
        """Return a reconciler and its own line to the runner."""
        kind = Kind("run", "projects/*/runs/*", (self.program,), "run.finished", "", Empty, _nothing, _two, _default)
        line = OverlaidJobs(self.jobs)
        parts = (kind, self.runs, self.reports, self.objects, line, Signer(b"k" * 32), "127.0.0.1:1", 0.1)
        return Reconciler(*parts), line

    async def queue(self) -> Document:
        """Queue a run."""
        fields = {**state.new_job_fields(), "parent": "projects/p", "work": queued(time.time())}
        return await self.runs.create(RUN, {"display_name": "", "labels": {}, "annotations": {}, **fields})

    async def names(self) -> list[str]:
        """Return the launches that there are Jobs of."""
        return [status.name.rpartition("-")[2] for status in await self.jobs.list()]

    async def until_over(self) -> None:
        """Wait until no Job lives."""
        deadline = time.monotonic() + 10
        while any(status.state in ("PENDING", "RUNNING") for status in await self.jobs.list()):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.02)


def _two(doc: Document) -> int:
    return 2


def _default(doc: Document) -> Wanted:
    return Wanted()


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """Real stores, and Jobs that are small Python programs."""
    objects = FolderObjects(tmp_path / "objects")
    documents = SqliteDocuments(tmp_path / "d.db")
    real = ProcessJobs(tmp_path / "jobs", parallel=4, command=(sys.executable, "-I", "-S", "-c"))
    yield World(
        Resources(documents.collection("runs", INDEXES), "run", SystemClock()),
        ReportStore(documents.collection("reports", report_store.INDEXES), objects),
        objects,
        OverlaidJobs(real),
    )
    await stop_all(real)
    await real.close()
    await documents.close()


async def test_two_replicas_make_one_job(world: World) -> None:
    """Both decide to launch, one does, and the Job's name is the same."""
    await world.queue()
    (a, _), (b, _) = world.replica(), world.replica()
    await asyncio.gather(a.sweep(), b.sweep(), a.sweep(), b.sweep())

    assert await world.names() == ["1"]
    assert (await world.runs.get(RUN))["launch"] == 1


async def test_a_replica_that_slept_before_making_a_job_makes_no_second_one(world: World) -> None:
    """It wakes up when the other has seen the Job end and has launched the next."""
    world.program = "raise SystemExit(1)"
    await world.queue()
    (a, line), (b, _) = world.replica(), world.replica()
    line.paused = asyncio.Event()
    sleeping = asyncio.create_task(a.sweep())
    await asyncio.sleep(0.1)
    await b.sweep()
    await world.until_over()
    await b.sweep()  # launches the second
    await b.sweep()
    line.paused.set()
    await sleeping
    for _ in range(20):
        await asyncio.gather(a.sweep(), b.sweep())
        await asyncio.sleep(0.05)
    run = await world.runs.get(RUN)

    assert (run["work"]["state"], run["launch"], run["failures"]) == ("FAILED", 3, 3)
    assert await world.names() == []
    assert [entry["type"] for entry in run["outbox"]] == ["run.finished"]


async def test_a_replica_that_slept_over_a_cancellation_leaves_no_job(world: World) -> None:
    """It makes the Job after all; the next sweep of anybody takes it away, and the run stays cancelled."""
    await world.queue()
    (a, line), (b, _) = world.replica(), world.replica()
    line.paused = asyncio.Event()
    sleeping = asyncio.create_task(a.sweep())
    await asyncio.sleep(0.1)
    await world.runs.change(RUN, lambda d: cancel(d["work"], 1.0))
    await b.sweep()
    line.paused.set()
    await sleeping
    made = await world.names()
    for _ in range(20):
        await b.sweep()
        await asyncio.sleep(0.05)

    assert made == ["1"]
    assert await world.names() == []
    assert (await world.runs.get(RUN))["work"]["state"] == "CANCELLED"


async def test_a_run_is_cancelled_when_its_job_has_ended_though_the_list_lacks_it(world: World) -> None:
    """Another replica has made it a moment ago."""
    run = await world.queue()
    (a, _), (b, line) = world.replica(), world.replica()
    await a.sweep()
    line.unlisted = {f"run-{run['uid']}-1"}
    await world.runs.change(RUN, lambda d: d["work"].update(state="CANCELLING"))
    await b.sweep()
    meanwhile = (await world.runs.get(RUN))["work"]["state"]
    await world.until_over()
    await b.sweep()

    assert meanwhile == "CANCELLING"
    assert (await world.runs.get(RUN))["work"]["state"] == "CANCELLED"


async def test_one_document_in_trouble_holds_up_no_other(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """A mistake of ours has a number in the log, and the sweep goes on."""
    await world.queue()
    broken = await world.runs.collection.get(RUN)
    assert broken is not None
    await world.runs.collection.insert({**broken, "_id": "projects/p/runs/a", "order": "0", "checkpoints": 7})
    a, _ = world.replica()
    await a.sweep()

    assert await world.names() == ["1"]
    assert "Reconciling projects/p/runs/a met a mistake in FineTuneFlow [" in caplog.text


def _reports(*seqs: int) -> list[Any]:
    return [pb.Report(seq=seq) for seq in seqs]


async def test_what_was_acknowledged_before_a_later_attempt_began_counts(world: World) -> None:
    """Also what comes in while it begins; what comes later is stored nowhere that anybody reads."""
    doc = await world.queue()
    state.begin(doc, "pod-1", 1, 1.0)
    state.settle(doc, {})
    await world.reports.append(doc, 1, _reports(1, 2))
    state.begin(doc, "pod-2", 1, 2.0)
    before_it_is_known = [report.seq for report in await world.reports.read(doc, 0)]
    await world.reports.append(doc, 1, _reports(3, 4))
    state.settle(doc, {1: await world.reports.newest(doc["uid"], 1)})
    await world.reports.append(doc, 1, _reports(5))
    last = await world.reports.last_seq(doc, 2)
    await world.reports.append(doc, 2, _reports(5, 6))
    first = await world.reports.read(doc, 0)
    second = await world.reports.read(doc, first[-1].seq)

    assert (before_it_is_known, last) == ([], 4)
    assert [(r.seq, r.attempt) for r in (*first, *second)] == [(1, 1), (2, 1), (3, 1), (4, 1), (5, 2), (6, 2)]


async def test_a_process_of_an_earlier_launch_begins_no_attempt(world: World) -> None:
    """The next Job has been made: the old one's late pod is fenced off, and the one at work stays."""
    doc = await world.queue()
    doc["launch"] = 2
    state.begin(doc, "pod-2", 2, 1.0)

    with pytest.raises(NotReady, match="later Job"):
        state.begin(doc, "pod-1", 1, 2.0)
    assert doc["work"]["attempt"] == 1
