"""Runners of Kubernetes Jobs in a namespace of the bed, whose Jobs are small Python programs."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from services.common.jobs.port import JobSpec, JobStatus
from services.common.kube.jobs import KubernetesJobs
from services.common.kube.template import JobTemplate
from services.common.objects.folder import FolderObjects
from tests.cluster.bed.cluster import Bed
from tests.cluster.bed.waits import until

IMAGE = "finetuneflow/small"
PYTHON = (sys.executable, "-I", "-S", "-u", "-c")
RELEASE = "bed"


def spec(name: str, program: str, **fields: Any) -> JobSpec:
    """Return a Job that runs a Python program; its labels are those of a run's first launch unless given."""
    kind, uid, launch = name.split("-")
    labels = {"kind": kind, "uid": uid, "launch": launch, "work": f"projects/p/{kind}s/{uid}"}
    return JobSpec(name, (program,), labels=labels, secrets={"launch_token": "s3cret-of-the-launch"}, **fields)


class Room:
    """A namespace for Jobs, and the runners over it."""

    def __init__(self, bed: Bed, namespace: str, folder: Path) -> None:
        """Begin without a runner."""
        self.bed, self.namespace = bed, namespace
        self.objects = FolderObjects(folder)
        self.stack = contextlib.AsyncExitStack()

    async def runner(self, **template: Any) -> KubernetesJobs:
        """Return a runner that has started, with settings of Jobs that differ from the defaults."""
        settings = {"image": f"{IMAGE}:1", "command": PYTHON, "toleration_seconds": 2, **template}
        runner = KubernetesJobs(self.bed.api, JobTemplate(**settings), self.objects, RELEASE, namespace=self.namespace)
        await runner.start()
        self.stack.push_async_callback(runner.close)
        return runner

    async def pods(self, job: str) -> list[dict[str, Any]]:
        """Return the pods of a Job, oldest first."""
        pods = await self.bed.raw.list("pods", self.namespace, labelSelector=f"job-name={job}")
        return sorted(pods, key=lambda pod: pod["metadata"]["creationTimestamp"])

    async def job(self, name: str) -> dict[str, Any]:
        """Return the Job as the API has it."""
        return await self.bed.raw.get("batch/v1/jobs", self.namespace, name)


@contextlib.asynccontextmanager
async def room(bed: Bed, folder: Path) -> AsyncIterator[Room]:
    """Open a namespace with the restricted standard in which an image can be pulled."""
    bed.image(IMAGE)
    found = Room(bed, await bed.namespace(), folder)
    async with found.stack:
        yield found


async def reach(
    jobs: KubernetesJobs, name: str, test: Callable[[JobStatus], bool], seconds: float = 30, listed: bool = True
) -> JobStatus:
    """Wait until a Job's status fits, asked for by itself and in the list, or fail; return the former."""

    async def fits() -> JobStatus | None:
        status = await jobs.get(name)
        last[:] = [status]
        found = [s for s in await jobs.list() if s.name == name] if listed else [status]
        return status if status and test(status) and found and found[0] and test(found[0]) else None

    last: list[JobStatus | None] = []
    try:
        found = await until(fits, name, seconds, poll=0.2)
    except AssertionError:
        raise AssertionError(f"{name} is {last}") from None
    assert found is not None
    return found


def waits_for(reason: str) -> Callable[[JobStatus], bool]:
    """Return whether a Job waits for this reason."""
    return lambda status: status.state == "PENDING" and bool(status.waiting and status.waiting.reason == reason)


def ended(status: JobStatus) -> bool:
    """Return whether a Job has ended."""
    return status.state in ("SUCCEEDED", "FAILED")


def running(status: JobStatus) -> bool:
    """Return whether a Job runs."""
    return status.state == "RUNNING"


async def log(jobs: KubernetesJobs, name: str) -> list[str]:
    """Return a Job's log."""
    return [line async for line in jobs.logs(name)]
