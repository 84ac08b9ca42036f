"""Compares Jobs with the work that they are for, and repairs either side.

due work without a Job            → the Job is made; its name is deterministic, so two replicas make one
a Job that ended, work that did not → another Job, or FAILED after three in a row without progress
work being cancelled              → its Job is stopped, then CANCELLED
a Job without work, or of ended work → its log is kept, the Job removed
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from services.common.auth import Principal, Signer
from services.common.documents.port import Document
from services.common.errors import FineTuneFlowError, NotFound, from_document
from services.common.jobs.port import JobRunner, JobSpec, JobStatus
from services.common.jobwork import state
from services.common.jobwork.host import Kind
from services.common.jobwork.reports import ReportStore
from services.common.objects.port import Objects
from services.common.resources import Resources, add_event
from services.common.waiting import event_or_time
from services.common.work import ENDED, finish

log = logging.getLogger(__name__)

STOP_GRACE_SECONDS = 10.0
DRAIN_GRACE_SECONDS = 60.0
OVERDUE_SECONDS = 60.0
"""How long a trainer may live on after its work has ended."""
EXIT_TERMINATED = 143
"""What a trainer exits with after SIGTERM, once its checkpoint is saved."""

_OVER = ("SUCCEEDED", "FAILED")
_TAIL_LINES = 5
LIVE = ("QUEUED", "STARTING", "RUNNING", "CANCELLING")


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
        self._reports = reports
        self._objects = objects
        self._jobs = jobs
        self._signer = signer
        self._address = address
        self._sweep_seconds = sweep_seconds
        self._awake = asyncio.Event()
        self._draining = False
        self._stopping: dict[str, asyncio.Task[None]] = {}
        self._overdue: dict[str, float] = {}
        resources.listen(lambda doc: self._awake.set())

    async def run(self) -> None:
        """Reconcile until cancelled."""
        try:
            while True:
                self._awake.clear()
                try:
                    await self.sweep()
                except FineTuneFlowError as error:
                    log.warning("%ss: reconciling waits: %s", self._kind.name, error)
                await event_or_time(self._awake, self._sweep_seconds)
                # Reports change documents many times a second; Jobs need no look at each.
                await asyncio.sleep(0.1)
        finally:
            for task in self._stopping.values():
                task.cancel()
            await asyncio.gather(*self._stopping.values(), return_exceptions=True)

    async def sweep(self) -> None:
        """Look at everything once."""
        statuses = {s.name: s for s in await self._jobs.list() if s.labels.get("kind") == self._kind.name}
        where = {"work.state": {"$in": list(LIVE)}, "delete_time": None}
        for doc in await self._resources.collection.find(where, sort="order"):
            try:
                await self._settle(doc, statuses.get(state.job_name(self._kind.name, doc)))
            except NotFound:
                continue  # deleted meanwhile
            except FineTuneFlowError as error:  # the others need not wait for this one
                log.warning("%s: reconciling waits: %s", doc["_id"], error)
        for status in statuses.values():
            await self._clear_away(status)

    async def drain(self) -> None:
        """Launch nothing more; stop every Job so that it saves a checkpoint. The work stays to be done."""
        self._draining = True
        running = [
            s for s in await self._jobs.list() if s.labels.get("kind") == self._kind.name and s.state == "RUNNING"
        ]
        await asyncio.gather(*(self._jobs.stop(s.name, DRAIN_GRACE_SECONDS) for s in running))

    async def _settle(self, doc: Document, status: JobStatus | None) -> None:
        if doc["work"]["state"] == "CANCELLING":
            await self._cancel(doc, status)
        elif self._draining:
            return
        elif doc["launch"] == 0:
            await self._launch(doc)
        elif status is None:
            await self._jobs.ensure(self._spec(doc))
        elif status.state in _OVER:
            await self._again(doc, status)
        elif status.state == "RUNNING" and doc["work"]["state"] == "QUEUED":
            await self._change(doc, lambda d: d["work"].update(state="STARTING"))

    async def _change(self, seen: Document, mutate: Callable[[Document], Any]) -> Document | None:
        """Change the document if its work still is where it was seen."""

        def careful(doc: Document) -> None:
            same = doc["launch"] == seen["launch"] and doc["work"]["state"] == seen["work"]["state"]
            if same:
                mutate(doc)

        return await self._resources.change(seen["_id"], careful)

    async def _launch(self, doc: Document) -> None:
        changed = await self._change(doc, state.launch)
        if changed and changed["work"]["state"] == "QUEUED":
            await self._jobs.ensure(self._spec(changed))

    def _spec(self, doc: Document) -> JobSpec:
        launch_token = self._signer.sign(Principal(doc["_id"], "launch", doc["_id"]))
        return JobSpec(
            name=state.job_name(self._kind.name, doc),
            args=self._kind.args,
            env={"FTF_ADDRESS": self._address, "FTF_WORK": doc["_id"], "FTF_POD_UID": state.job_name("pod", doc)},
            secrets={"launch_token": launch_token},
            labels={"kind": self._kind.name, "work": doc["_id"], "uid": doc["uid"], "launch": str(doc["launch"])},
        )

    async def _again(self, doc: Document, status: JobStatus) -> None:
        """The Job is over and the work is not: launch another, or give up."""
        graceful = status.exit_code == EXIT_TERMINATED
        error = await self._crash(doc, status)
        now = self._resources.clock.now()

        def decide(current: Document) -> None:
            if state.count_failure(current, graceful):
                state.launch(current)
            else:
                finish(current["work"], "FAILED", now, error)
                add_event(current, self._kind.event(current), now)

        await self._change(doc, decide)

    async def _crash(self, doc: Document, status: JobStatus) -> FineTuneFlowError:
        if doc["last_error"]:
            return from_document(doc["last_error"])
        lines = [line async for line in self._jobs.logs(status.name)]
        ending = "was killed" if status.exit_code is None else f"exited with {status.exit_code}"
        tail = " | ".join(line.strip() for line in lines[-_TAIL_LINES:])
        return FineTuneFlowError(
            f"The trainer {ending} without a result, {state.MAX_FAILURES} times in a row. See `ftf logs`. "
            f"Its last words: {tail[:500]}",
            reason="TRAINER_CRASHED",
        )

    async def _cancel(self, doc: Document, status: JobStatus | None) -> None:
        if status and status.state not in _OVER:
            self._stop(status.name)
            return
        now = self._resources.clock.now()

        def end(current: Document) -> None:
            finish(current["work"], "CANCELLED", now)
            add_event(current, self._kind.event(current), now)

        await self._change(doc, end)

    def _stop(self, name: str) -> None:
        """Stop a Job without making the others wait."""
        if name in self._stopping:
            return
        task = asyncio.create_task(self._jobs.stop(name, STOP_GRACE_SECONDS))
        self._stopping[name] = task

        def over(_: asyncio.Task[None]) -> None:
            self._stopping.pop(name, None)
            self._awake.set()

        task.add_done_callback(over)

    async def _clear_away(self, status: JobStatus) -> None:
        """Keep the log of a Job that nothing needs any more, and remove it."""
        now = self._resources.clock.now()
        doc = await self._resources.collection.get(status.labels["work"])
        gone = doc is None or doc["uid"] != status.labels["uid"] or doc["delete_time"] is not None
        current = doc is not None and status.labels["launch"] == str(doc["launch"])
        if not gone and current and doc is not None and doc["work"]["state"] not in ENDED:
            return
        if status.state not in _OVER and (gone or doc is None or doc["work"]["state"] == "CANCELLED"):
            self._stop(status.name)
            return
        if status.state not in _OVER:
            # It ends by itself in a moment; one that hangs would keep the others waiting for its place.
            since = self._overdue.setdefault(status.name, now)
            if now - since > OVERDUE_SECONDS:
                self._stop(status.name)
            return
        self._overdue.pop(status.name, None)
        if not gone:
            await self._keep_log(status)
        await self._jobs.delete(status.name)

    async def _keep_log(self, status: JobStatus) -> None:
        text = "\n".join([line async for line in self._jobs.logs(status.name)])
        await self._objects.put(log_key(self._kind, status.labels["uid"], int(status.labels["launch"])), text.encode())

    async def purge(self, doc: Document) -> None:
        """Remove what belongs to a deleted resource: its Job, reports and objects.

        Raises:
            Conflict: its Job is still ending.
        """
        name = state.job_name(self._kind.name, doc)
        if await self._jobs.get(name):
            await self._jobs.stop(name, STOP_GRACE_SECONDS)
            await self._jobs.delete(name)
        await self._reports.delete(doc["uid"])
        async for key in self._objects.list(self._kind.prefix(doc)):
            await self._objects.delete(key)


def log_key(kind: Kind, uid: str, launch: int) -> str:
    """Return the key of the log of one launch."""
    return f"{kind.name}s/{uid}/logs/{launch:04d}.log"
