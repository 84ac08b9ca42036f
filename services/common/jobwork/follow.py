"""Following work from outside: its reports as they come, and its log."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from finetuneflow.common.v1 import worker_service_pb2 as pb
from services.common.bus import Bus
from services.common.documents.port import Document
from services.common.errors import NotFound
from services.common.jobs.port import JobRunner
from services.common.jobwork import state
from services.common.jobwork.host import Kind, live_subject
from services.common.jobwork.reports import ReportStore
from services.common.objects.port import Objects
from services.common.resources import Resources
from services.common.waiting import event_or_time
from services.common.work import at_rest

POLL_SECONDS = 1.0


class Follower:
    """Reads what trainers leave behind, live or later."""

    def __init__(
        self, kind: Kind, resources: Resources, reports: ReportStore, objects: Objects, jobs: JobRunner, bus: Bus
    ) -> None:
        self._kind = kind
        self._resources = resources
        self._reports = reports
        self._objects = objects
        self._jobs = jobs
        self._bus = bus

    async def reports(self, name: str, after_seq: int) -> AsyncIterator[pb.Report | Document]:
        """Yield the resource, every report after a seq in order, and the resource again when its state changes.

        Ends after the work has, or is paused: with its last report and then the resource as it is then. Reports are
        always read from the document store; the live subject only says when to look, so a lost message costs at most a
        second.

        Raises:
            NotFound: there is no such resource, or it was deleted meanwhile.
        """
        awake = asyncio.Event()
        uid = (await self._resources.get(name))["uid"]
        end = self._resources.listen(lambda d: awake.set() if d["uid"] == uid else None)
        waker = asyncio.create_task(self._wake(uid, awake))
        told: Document | None = None
        try:
            while True:
                awake.clear()
                doc = await self._resources.get(name)
                over = at_rest(doc["work"])
                if not over and told != _key(doc):
                    told = _key(doc)
                    yield doc
                async for report in self._rest(doc, after_seq):
                    yield report
                    after_seq = report.seq
                if over:
                    yield doc
                    return
                await event_or_time(awake, POLL_SECONDS)
        finally:
            end()
            waker.cancel()
            await asyncio.gather(waker, return_exceptions=True)

    async def _rest(self, doc: Document, after_seq: int) -> AsyncIterator[pb.Report]:
        """Yield the reports after a seq that are there now; none of a trainer that was superseded meanwhile."""
        while True:
            reports = await self._reports.read(doc, after_seq)
            newest = await self._resources.get(doc["_id"])
            if _series(newest) != _series(doc):
                doc = newest
                continue
            if not reports:
                return
            for report in reports:
                yield report
            after_seq = reports[-1].seq

    async def _wake(self, uid: str, awake: asyncio.Event) -> None:
        async with self._bus.tail(live_subject(uid)) as messages:
            async for _ in messages:
                awake.set()

    async def log_lines(self, name: str, follow: bool) -> AsyncIterator[str]:
        """Yield the lines that the trainers wrote, launch by launch; with follow, until the work has ended or pauses.

        Raises:
            NotFound: there is no such resource, or it was deleted meanwhile.
        """
        launch, sent = 1, 0
        while True:
            doc = await self._resources.get(name)
            while launch <= doc["launch"]:
                lines = await self._lines(doc, launch)
                for line in lines[sent:]:
                    yield line
                sent = max(sent, len(lines))
                if launch == doc["launch"]:
                    break
                launch, sent = launch + 1, 0
            if not follow or at_rest(doc["work"]):
                return
            await asyncio.sleep(POLL_SECONDS)

    async def _lines(self, doc: Document, launch: int) -> list[str]:
        try:
            kept = await self._objects.read(self._kind.log_key(doc["uid"], launch))
            return kept.decode(errors="replace").splitlines()
        except NotFound:
            name = state.job_name(self._kind.name, {**doc, "launch": launch})
            return [line async for line in self._jobs.logs(name)]


def _series(doc: Document) -> tuple[Document, Document | None]:
    """Return what decides which reports there are, and where."""
    return doc["attempts"], doc.get("packed_reports")


def _key(doc: Document) -> Document:
    """Return what a watcher is told of when it changes."""
    return {name: doc["work"].get(name) for name in ("state", "attempt", "waiting")}
