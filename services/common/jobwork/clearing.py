"""Jobs that nothing needs any more: their logs are kept, they are stopped and removed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from services.common import incidents
from services.common.documents.port import Document
from services.common.errors import FineTuneFlowError
from services.common.jobs.port import JobRunner, JobStatus
from services.common.jobwork import state
from services.common.jobwork.host import Kind
from services.common.jobwork.reports import ReportStore
from services.common.objects.port import Objects
from services.common.resources import Resources
from services.common.work import at_rest

log = logging.getLogger(__name__)

STOP_GRACE_SECONDS = 10.0
OVERDUE_SECONDS = 60.0
"""How long a trainer may live on after its work has ended."""
OVER = ("SUCCEEDED", "FAILED")


class Clearing:
    """Ends and removes the Jobs of one kind of work, beside the reconciler: neither waits for the other.

    Args:
        done: called when a Job was stopped or removed.
    """

    def __init__(
        self,
        kind: Kind,
        resources: Resources,
        reports: ReportStore,
        objects: Objects,
        jobs: JobRunner,
        done: Callable[[], None],
    ) -> None:
        self._kind = kind
        self._resources = resources
        self._reports = reports
        self._objects = objects
        self._jobs = jobs
        self._done = done
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._overdue: dict[str, float] = {}

    async def look(self, status: JobStatus) -> None:
        """Stop or remove a Job if nothing needs it."""
        doc = await self._resources.collection.get(status.labels.get("work", ""))
        gone = doc is None or doc["uid"] != status.labels.get("uid") or doc["delete_time"] is not None
        current = doc is not None and not gone and status.labels.get("launch") == str(doc["launch"])
        if current and doc is not None and not at_rest(doc["work"]):
            return
        if status.state in OVER:
            self._overdue.pop(status.name, None)
            self._start(status.name, self._remove(status, keep_log=not gone))
        elif not current or doc is None or doc["work"]["state"] == "CANCELLED":
            self.stop(status.name)
        else:
            # It ends by itself in a moment; one that hangs would keep the others waiting for its place.
            now = self._resources.clock.now()
            if now - self._overdue.setdefault(status.name, now) > OVERDUE_SECONDS:
                self.stop(status.name)

    def stop(self, name: str, grace_seconds: float = STOP_GRACE_SECONDS) -> None:
        """Stop a Job without making anybody wait."""
        self._start(name, self._jobs.stop(name, grace_seconds))

    def _start(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        if name in self._tasks:
            work.close()
            return
        self._tasks[name] = asyncio.create_task(self._see_through(name, work))

    async def _see_through(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
            self._done()
        except FineTuneFlowError as error:  # the next sweep tries again
            log.warning("Job %s: clearing it away waits: %s", name, error)
        except Exception as error:
            incidents.report(log, f"Clearing Job {name} away", error)
        finally:
            self._tasks.pop(name, None)

    async def _remove(self, status: JobStatus, *, keep_log: bool) -> None:
        if keep_log:
            key = self._kind.log_key(status.labels["uid"], int(status.labels["launch"]))
            await self._objects.put(key, "\n".join(await self._log(status)).encode())
        await self._jobs.delete(status.name)

    async def _log(self, status: JobStatus) -> list[str]:
        lines: list[str] = []
        try:
            async for line in self._jobs.logs(status.name):
                lines.append(line)  # noqa: PERF401 - what came before an error is kept
        except FineTuneFlowError:
            if status.reason != "NODE_LOST":
                raise  # what a node has that does not answer is not waited for
        return lines

    async def purge(self, doc: Document) -> None:
        """Remove what belongs to a deleted resource: its Jobs, reports and objects. Repeating it does nothing.

        Raises:
            Unavailable: a Job cannot be removed now, or the objects cannot.
        """
        names = {s.name for s in await self._jobs.list() if s.labels.get("uid") == doc["uid"]}
        for name in names | {state.job_name(self._kind.name, doc)}:
            if await self._jobs.get(name):
                await self._jobs.stop(name, STOP_GRACE_SECONDS)
                await self._jobs.delete(name)
        await self._reports.delete(doc["uid"])
        async for key in self._objects.list(self._kind.prefix(doc)):
            await self._objects.delete(key)

    async def close(self) -> None:
        """End what is being done; the next process takes it up."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
