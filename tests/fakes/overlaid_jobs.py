"""A runner of Jobs in trouble: real processes, and over them what a cluster would say and do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from typing import Any

from services.common.errors import FineTuneFlowError
from services.common.jobs.port import JobRunner, JobSpec, JobStatus, Resources, Waiting


class OverlaidJobs:
    """Passes everything on to a real runner, but for what the test sets.

    Args:
        real: starts the processes.
        restarts: what the runner says of itself.

    Attributes:
        away: raised by every call, as when the API server does not answer.
        refusal: raised by ensure.
        waiting: while set, new Jobs are taken and not started; this is why.
        paused: while set, ensure waits before it does anything.
        specs: every spec that came, in order.
        heeding: whether priorities change anything.
        unlisted: names of Jobs that list() does not know yet, as when another replica has just made them.
    """

    def __init__(self, real: JobRunner, *, restarts: bool = False) -> None:
        self._real = real
        self._restarts = restarts
        self._said: dict[str, dict[str, Any]] = {}
        self._held: dict[str, JobSpec] = {}
        self._gone: set[str] = set()
        self._listeners: list[Callable[[], None]] = []
        self.away: FineTuneFlowError | None = None
        self.refusal: FineTuneFlowError | None = None
        self.waiting: Waiting | None = None
        self.paused: asyncio.Event | None = None
        self.specs: list[JobSpec] = []
        self.unlisted: set[str] = set()
        self.heeding = True

    @property
    def restarts(self) -> bool:
        """See port.JobRunner."""
        return self._restarts

    def check(self, resources: Resources) -> None:
        """See port.JobRunner."""
        self._real.check(resources)

    def heeds(self, priority: int, resources: Resources) -> bool:
        """See port.JobRunner."""
        return self.heeding and self._real.heeds(priority, resources)

    def listen(self, changed: Callable[[], None]) -> None:
        """See port.JobRunner."""
        self._listeners.append(changed)
        self._real.listen(changed)

    def say(self, name: str, **fields: Any) -> None:
        """Have the status of a Job say this from now on; nothing: the truth again."""
        self._said[name] = fields
        self._tell()

    async def lose(self, name: str) -> None:
        """Delete a Job as somebody would by hand: it is gone at once, and its process ends after that."""
        self._gone.add(name)
        self._tell()
        await self._real.delete(name)

    async def release(self) -> None:
        """Start what was taken and not started."""
        self.waiting = None
        held, self._held = self._held, {}
        for spec in held.values():
            await self._real.ensure(spec)
        self._tell()

    def _tell(self) -> None:
        for changed in self._listeners:
            changed()

    def _reach(self) -> None:
        if self.away:
            raise self.away

    async def ensure(self, spec: JobSpec) -> None:
        """See port.JobRunner."""
        if self.paused:
            await self.paused.wait()
        self._reach()
        self.specs.append(spec)
        if self.refusal:
            raise self.refusal
        if self.waiting and await self._real.get(spec.name) is None:
            self._held.setdefault(spec.name, spec)
        else:
            await self._real.ensure(spec)

    async def get(self, name: str) -> JobStatus | None:
        """See port.JobRunner."""
        return next((status for status in await self._all() if status.name == name), None)

    async def list(self) -> list[JobStatus]:
        """See port.JobRunner."""
        return [status for status in await self._all() if status.name not in self.unlisted]

    async def _all(self) -> Sequence[JobStatus]:
        self._reach()
        held = [JobStatus(s.name, "PENDING", labels=s.labels, waiting=self.waiting) for s in self._held.values()]
        statuses = [*await self._real.list(), *held]
        return [replace(s, **self._said.get(s.name, {})) for s in statuses if s.name not in self._gone]

    async def stop(self, name: str, grace_seconds: float) -> None:
        """See port.JobRunner."""
        self._reach()
        spec = self._held.pop(name, None)
        if spec:
            await self._real.ensure(spec)
        await self._real.stop(name, grace_seconds)

    async def delete(self, name: str) -> None:
        """See port.JobRunner."""
        self._reach()
        self._said.pop(name, None)
        self._held.pop(name, None)
        await self._real.delete(name)

    async def logs(self, name: str) -> AsyncIterator[str]:
        """See port.JobRunner."""
        self._reach()
        async for line in self._real.logs(name):
            yield line
