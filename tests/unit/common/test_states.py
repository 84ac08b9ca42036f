"""The states of work as docs/concepts.md draws them are those that its functions, its loop and its reconciler make."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

import pytest
from google.protobuf.empty_pb2 import Empty

from services.common.auth import Signer
from services.common.clock import SystemClock
from services.common.documents.port import Document
from services.common.documents.sqlite import SqliteDocuments
from services.common.errors import NotReady
from services.common.jobs.port import JobSpec, JobState, JobStatus
from services.common.jobs.port import Resources as Wanted
from services.common.jobwork import state
from services.common.jobwork.host import Kind
from services.common.jobwork.reconciler import Reconciler
from services.common.jobwork.reports import ReportStore
from services.common.objects.folder import FolderObjects
from services.common.resources import INDEXES, Mutate, Resources
from services.common.work import ENDED, Claim, OnHold, cancel, pause, queued, resume, watch
from services.common.workloop import WorkLoop
from services.ingest.store import requeue

CONCEPTS = Path(__file__).resolve().parents[3] / "docs" / "concepts.md"
LIVE = ("QUEUED", "STARTING", "RUNNING", "PAUSING", "CANCELLING")
STATES = (*LIVE, "PAUSED", *sorted(ENDED))
RUN = "projects/p/runs/r"

Arrow = tuple[str, str]


def in_state(name: str, launch: int = 0) -> Document:
    """Return what a resource with work in a state has; launch: that of its Job, 0 for none."""
    fields = {**state.new_job_fields(), "closing": False, "parent": "projects/p", "display_name": "", "labels": {}}
    return {**fields, "_id": RUN, "annotations": {}, "launch": launch, "work": {**queued(time.time()), "state": name}}


def arrow(name: str, change: Callable[[Document], object], launch: int = 0) -> set[Arrow]:
    """Return what a change does to work in a state; nothing where it is refused or leaves the state."""
    doc = in_state(name, launch)
    with contextlib.suppress(NotReady):
        change(doc)
    return {(name, doc["work"]["state"])} - {(name, name)}


def asked_for() -> set[Arrow]:
    """Return the arrows that calls make."""

    def again(doc: Document) -> None:
        doc["work"] = resume(doc["work"], 1.0)

    found: set[Arrow] = set()
    for name in STATES:
        found |= arrow(name, lambda doc: cancel(doc["work"], 1.0)) | arrow(name, lambda doc: pause(doc["work"]))
        # Of datasets, but that one which is complete stays; of runs, whose Job is there or not.
        found |= arrow(name, again) if name != "SUCCEEDED" else set()
        for launch in (0, 1):
            found |= arrow(name, state.pause, launch) | arrow(name, lambda doc: state.resume(doc, 1.0), launch)
        # A file that is read or cut again.
        found |= arrow(name, lambda doc: requeue(doc, 1.0)) if name in ENDED else set()
        found |= arrow(name, lambda doc: state.begin(doc, "pod", 1, 1.0), 1)
    return found


@contextlib.asynccontextmanager
async def watched(folder: Path, name: str, launch: int) -> AsyncIterator[tuple[Resources, list[str]]]:
    """A resource with work in a state, and the states that it goes through."""
    documents = SqliteDocuments(folder / f"{time.monotonic_ns()}.db")
    resources = Resources(documents.collection("runs", INDEXES), "run", SystemClock())
    made = {key: value for key, value in in_state(name, launch).items() if key != "_id"}
    await resources.create(RUN, made)
    seen = [name]
    resources.listen(lambda doc: seen.append(doc["work"]["state"]))
    yield resources, seen
    await documents.close()


def arrows(seen: Sequence[str]) -> set[Arrow]:
    """Return the arrows between states, each of which followed the one before."""
    return {(before, after) for before, after in itertools.pairwise(seen) if before != after}


def handlers(resources: Resources) -> list[Callable[[Claim], Awaitable[Mutate | None]]]:
    """Return work that ends in each way, by itself and although it was asked to pause."""

    async def well(claim: Claim) -> None:
        """End well."""

    async def badly(claim: Claim) -> None:
        raise NotReady("No.")

    async def away(claim: Claim) -> None:
        raise OnHold(NotReady("The LLM is away."))

    def asked(change: Callable[[Document], None], then: Callable[[Claim], Awaitable[None]]) -> Callable[..., object]:
        async def last(claim: Claim) -> None:
            with contextlib.suppress(asyncio.CancelledError):
                await resources.change(RUN, change)
                await asyncio.Event().wait()
            await then(claim)

        return last

    def to_pause(doc: Document) -> None:
        pause(doc["work"])

    return [well, badly, away, *(asked(to_pause, then) for then in (well, badly))]  # type: ignore[list-item]  # they are


async def of_the_loop(folder: Path) -> set[Arrow]:
    """Return the arrows of work inside a service, from each state and with each end."""
    found: set[Arrow] = set()
    for name in LIVE:
        for place in range(5):
            async with watched(folder, name, 0) as (resources, seen):
                handler = handlers(resources)[place]
                loop = WorkLoop(resources, handler, instance="a", sweep_seconds=0.01)
                task = asyncio.create_task(loop.run())
                async with asyncio.timeout(5):
                    async for _ in watch(resources, RUN):
                        pass
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                found |= arrows(seen)
    return found


class OneJob:
    """A runner with one Job, which is as it was said to be."""

    restarts = True

    def __init__(self, said: JobState | None) -> None:
        self._said = said
        self._name = ""

    def of(self, doc: Document) -> None:
        """Be the Job of this document."""
        self._name = state.job_name("run", doc)

    def listen(self, changed: Callable[[], None]) -> None:
        """See port.JobRunner."""

    async def list(self) -> list[JobStatus]:
        """See port.JobRunner."""
        labels = {"kind": "run", "work": RUN}
        return [JobStatus(self._name, self._said, labels=labels)] if self._said and self._name else []

    async def get(self, name: str) -> JobStatus | None:
        """See port.JobRunner."""
        return next((status for status in await self.list() if status.name == name), None)

    async def ensure(self, spec: JobSpec) -> None:
        """See port.JobRunner."""

    async def stop(self, name: str, grace_seconds: float) -> None:
        """See port.JobRunner."""

    async def delete(self, name: str) -> None:
        """See port.JobRunner."""

    async def logs(self, name: str) -> AsyncIterator[str]:
        """See port.JobRunner."""
        for line in ():
            yield line


async def _nothing(doc: Document) -> Empty:
    return Empty()


async def of_jobs(folder: Path) -> set[Arrow]:
    """Return the arrows of work that a Job does, from each state and with the Job in each of its own."""
    found: set[Arrow] = set()
    told: tuple[JobState | None, ...] = ("PENDING", "RUNNING", "SUCCEEDED", "FAILED", None)
    for name in LIVE:
        for said in told:
            for failures in (0, state.MAX_FAILURES):
                async with watched(folder, name, 1) as (resources, seen):
                    doc = await resources.change(RUN, lambda d, n=failures: d.update(failures=n))  # type: ignore[misc]
                    jobs = OneJob(said)
                    jobs.of(doc)
                    reports = ReportStore(resources.collection, FolderObjects(folder / "objects"))
                    kind = Kind("run", RUN, (), "run.finished", "", Empty, _nothing, lambda d: 2, lambda d: Wanted())
                    parts = (kind, resources, reports, FolderObjects(folder / "objects"), jobs, Signer(b"k" * 32))
                    await Reconciler(*parts, "127.0.0.1:1", 0.1).sweep()  # type: ignore[arg-type]  # what is called is there
                    found |= arrows(seen)
    return found


@pytest.mark.timeout(60)
async def test_every_arrow_of_the_picture_is_made_and_every_one_made_is_drawn(tmp_path: Path) -> None:
    """From each state: each call, each end of work inside a service, each state of a Job."""
    text = CONCEPTS.read_text(encoding="utf-8")
    (picture,) = re.findall(r"^```mermaid\nstateDiagram-v2\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    drawn = set(re.findall(r"([A-Z]+) --> ([A-Z]+)", picture))
    made = asked_for() | await of_the_loop(tmp_path) | await of_jobs(tmp_path)

    assert sorted(drawn - made) == []
    assert sorted(made - drawn) == []
