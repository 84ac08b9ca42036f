"""Compares Jobs with the work that they are for, and repairs either side; see state for what may become of work.

due work without a Job               → the Job is made; its name is deterministic, so two replicas make one
a Job that waits or runs             → the work says so: QUEUED with the reason, or STARTING
a Job that ended or was deleted, work that did not → another Job, or FAILED; see verdict
work being cancelled, or paused      → its Job is stopped, then CANCELLED, or PAUSED
a Job without work, or of ended work → its log is kept, the Job removed; see clearing
"""

from __future__ import annotations

import asyncio
import copy
import functools
import logging
from collections.abc import Callable
from typing import Any

from services.common import incidents
from services.common.auth import Principal, Signer
from services.common.documents.port import Document
from services.common.errors import FineTuneFlowError, InvalidArgument, NotFound, NotReady, Unavailable
from services.common.jobs.port import JobRunner, JobSpec, JobStatus, Waiting
from services.common.jobwork import state, verdict
from services.common.jobwork.clearing import OVER, STOP_GRACE_SECONDS, Clearing
from services.common.jobwork.host import Kind
from services.common.jobwork.reports import ReportStore
from services.common.objects.port import Objects
from services.common.resources import Resources, add_event
from services.common.waiting import event_or_time
from services.common.work import ASKED_TO_STOP, finish, hold

log = logging.getLogger(__name__)

SAVE_GRACE_SECONDS = 60.0
"""How long a trainer that is to go on later has for saving a checkpoint."""
UNREACHABLE_SECONDS = 10.0
"""How long what runs Jobs may be away before work says so."""
LIVE = ("QUEUED", "STARTING", "RUNNING", *ASKED_TO_STOP)


class Reconciler:
    """The Jobs of one kind of work."""

    def __init__(
        self,
        kind: Kind,
        resources: Resources,
        reports: ReportStore,
        objects: Objects,
        jobs: JobRunner,
        signer: Signer,
        address: str,
        sweep_seconds: float,
    ) -> None:
        self._kind = kind
        self._resources = resources
        self._jobs = jobs
        self._signer = signer
        self._address = address
        self._sweep_seconds = sweep_seconds
        self._awake = asyncio.Event()
        self._draining = False
        self._away: dict[str, float] = {}
        self._clearing = Clearing(kind, resources, reports, objects, jobs, self._awake.set)
        self.purge = self._clearing.purge
        resources.listen(lambda doc: self._awake.set())
        jobs.listen(self._awake.set)

    async def run(self) -> None:
        """Reconcile until cancelled."""
        try:
            while True:
                self._awake.clear()
                try:
                    await self.sweep()
                except FineTuneFlowError as error:
                    log.warning("%ss: reconciling waits: %s", self._kind.name, error)
                except Exception as error:
                    incidents.report(log, f"Reconciling {self._kind.name}s", error)
                await event_or_time(self._awake, self._sweep_seconds)
                # Reports change documents many times a second; Jobs need no look at each.
                await asyncio.sleep(0.1)
        finally:
            await self._clearing.close()

    async def sweep(self) -> None:
        """Look at everything once."""
        away: Unavailable | None = None
        statuses: dict[str, JobStatus] = {}
        try:
            statuses = {s.name: s for s in await self._jobs.list() if s.labels.get("kind") == self._kind.name}
        except Unavailable as error:
            away = error
        # Documents are read after the Jobs, so that a Job which ended well is never taken for one that gave up.
        docs = await self._resources.collection.find(
            {"work.state": {"$in": list(LIVE)}, "delete_time": None}, sort="order"
        )
        self._away = {doc["_id"]: self._away[doc["_id"]] for doc in docs if doc["_id"] in self._away}
        for doc in docs:
            await self._attend(doc, statuses.get(state.job_name(self._kind.name, doc)), away)
        for status in statuses.values():
            try:
                await self._clearing.look(status)
            except Exception as error:
                self._note(f"Job {status.name}", error)
        if away:
            raise away

    async def drain(self) -> None:
        """Launch nothing more. Jobs that would end with this machine are stopped so that they save a checkpoint."""
        self._draining = True
        if self._jobs.restarts:
            return
        running = [
            s for s in await self._jobs.list() if s.labels.get("kind") == self._kind.name and s.state == "RUNNING"
        ]
        await asyncio.gather(*(self._jobs.stop(s.name, SAVE_GRACE_SECONDS) for s in running))

    async def _attend(self, doc: Document, status: JobStatus | None, away: Unavailable | None) -> None:
        try:
            try:
                if away:
                    raise away
                await self._settle(doc, status)
                self._away.pop(doc["_id"], None)
            except Unavailable as error:
                await self._unreachable(doc, error)
                if not away:
                    raise
        except NotFound:
            pass  # deleted meanwhile
        except Exception as error:
            self._note(doc["_id"], error)

    def _note(self, what: str, error: Exception) -> None:
        if isinstance(error, FineTuneFlowError):
            log.warning("%s: reconciling waits: %s", what, error)
        else:
            incidents.report(log, f"Reconciling {what}", error)

    async def _unreachable(self, doc: Document, error: Unavailable) -> None:
        now = self._resources.clock.now()
        since = self._away.setdefault(doc["_id"], now)
        if doc["work"]["state"] != "QUEUED":
            return
        waiting = Waiting("CLUSTER_UNREACHABLE", f"What runs Jobs does not answer. Wait, or see to it. ({error})")
        if reason := error.metadata.get("waiting"):
            waiting = Waiting(reason, error.message)
        if reason or now - since >= UNREACHABLE_SECONDS:
            await self._change(doc, lambda d: state.wait(d, waiting, since))

    async def _settle(self, doc: Document, status: JobStatus | None) -> None:
        if doc["work"]["state"] in ASKED_TO_STOP:
            await self._stop(doc, status)
        elif self._draining:
            return
        elif doc["launch"] == 0:
            changed = await self._change(doc, state.launch)
            if changed["work"]["state"] == "QUEUED":
                await self._ensure(changed)
        elif status is None:
            await self._missing(doc)
        elif status.state in OVER:
            await self._after(doc, status)
        else:
            await self._follow(doc, status)

    async def _change(self, seen: Document, mutate: Callable[[Document], Any]) -> Document:
        """Change the document if its work still is where it was seen; return it as it is then."""
        draft = copy.deepcopy(seen)
        mutate(draft)
        if draft == seen:
            return seen

        def careful(doc: Document) -> None:
            if _place(doc) == _place(seen):
                mutate(doc)

        return await self._resources.change(seen["_id"], careful)

    async def _ensure(self, doc: Document) -> None:
        try:
            await self._jobs.ensure(self._spec(doc))
        except (NotReady, InvalidArgument) as refusal:  # it never heals by itself
            await self._change(doc, functools.partial(self._fail, error=refusal))

    def _fail(self, doc: Document, error: FineTuneFlowError) -> None:
        now = self._resources.clock.now()
        finish(doc["work"], "FAILED", now, error)
        add_event(doc, self._kind.event(doc), now)

    def _spec(self, doc: Document) -> JobSpec:
        launch_token = self._signer.sign(Principal(doc["_id"], "launch", doc["_id"], doc["launch"]))
        return JobSpec(
            name=state.job_name(self._kind.name, doc),
            args=self._kind.args,
            env={"FTF_ADDRESS": self._address, "FTF_WORK": doc["_id"], "FTF_POD_UID": state.job_name("pod", doc)},
            secrets={"launch_token": launch_token},
            labels={"kind": self._kind.name, "work": doc["_id"], "uid": doc["uid"], "launch": str(doc["launch"])},
            resources=self._kind.resources(doc),
            priority=int(doc.get("priority", 0)),
            since=float(doc["work"]["queue_time"] or 0),
        )

    async def _missing(self, doc: Document) -> None:
        """Make the Job of the current launch; if it was there and is not any more, somebody deleted it."""
        if doc.get("job_seen", 0) != doc["launch"]:
            await self._ensure(doc)
        elif await self._jobs.get(state.job_name(self._kind.name, doc)) is None:
            await self._after(doc, None)

    async def _follow(self, doc: Document, status: JobStatus) -> None:
        """The Job waits or runs: let the work say so."""
        waits = status.state == "PENDING"
        if waits and doc["work"]["state"] != "QUEUED":
            # What list() knows may be older than the document; get() asks.
            newest = await self._jobs.get(status.name)
            if newest is None or newest.state != "PENDING":
                return
            status = newest
        now = self._resources.clock.now()

        def note(current: Document) -> None:
            current["job_seen"] = current["launch"]
            if waits:
                current["work"]["state"] = "QUEUED"
                state.wait(current, status.waiting, now)
            elif current["work"]["state"] == "QUEUED":
                current["work"]["state"] = "STARTING"
                state.wait(current, None, now)

        await self._change(doc, note)

    async def _after(self, doc: Document, status: JobStatus | None) -> None:
        """The Job is over or gone and the work is not: launch another, or give up."""
        restarts, now = self._jobs.restarts, self._resources.clock.now()
        draft = copy.deepcopy(doc)
        error: FineTuneFlowError | None = None
        if not verdict.again(draft, status, restarts):
            lines = [line async for line in self._jobs.logs(status.name)] if status else []
            error = verdict.error(draft, status, restarts, lines)

        def decide(current: Document) -> None:
            failures = current["failures"]
            if verdict.again(current, status, restarts):
                waiting = verdict.waiting(current, status)
                state.launch(current)
                state.wait(current, waiting, now)
            elif error:
                self._fail(current, error)
            else:  # it changed while we looked; the next sweep sees it as it is
                current["failures"] = failures

        await self._change(doc, decide)

    async def _stop(self, doc: Document, status: JobStatus | None) -> None:
        # What list() knows may lack a Job that another replica has just made; get() asks.
        status = status or await self._jobs.get(state.job_name(self._kind.name, doc))
        pauses = doc["work"]["state"] == "PAUSING"
        if status and status.state not in OVER:
            self._clearing.stop(status.name, SAVE_GRACE_SECONDS if pauses else STOP_GRACE_SECONDS)
            return
        now = self._resources.clock.now()

        def end(current: Document) -> None:
            if pauses:
                hold(current["work"], verdict.unsaved(current, status))
                return
            finish(current["work"], "CANCELLED", now)
            add_event(current, self._kind.event(current), now)

        await self._change(doc, end)


def _place(doc: Document) -> tuple[int, str, int]:
    """Return where work is: what must not have moved between a look and a change."""
    return doc["launch"], doc["work"]["state"], doc["work"]["attempt"]
