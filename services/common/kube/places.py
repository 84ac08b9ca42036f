"""The place of a Job that waits: in a queue as Kueue tells it, for a node among this installation's own Jobs."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from services.common.errors import FineTuneFlowError, NotFound
from services.common.jobs.port import Waiting
from services.common.kube.api import KubeApi
from services.common.kube.manifest import QUEUE_LABEL
from services.common.kube.podstate import conditions
from services.common.kube.status import age, over, suspended

Object = Mapping[str, Any]

_VISIBILITY = "/apis/visibility.kueue.x-k8s.io"
_ASK_SECONDS = 5.0
"""Between two questions to one queue."""
_ABSENT = "Its place is not known, for the cluster has no visibility API of Kueue's."
_CLOSED = "Its place is not known, for Kueue's visibility API does not answer this service."
_PLACED = ("QUEUE", "UNSCHEDULABLE")


@dataclass(frozen=True)
class Place:
    """Where a Job is in a line.

    Args:
        position: 1 for the next, 0 where it is not known.
        note: what else is to be said, as a sentence; "" for nothing.
    """

    position: int
    note: str = ""

    def told(self, waiting: Waiting) -> Waiting:
        """Return why a Job waits with its place, where what it waits for has a line."""
        if waiting.reason not in _PLACED:
            return waiting
        return dataclasses.replace(waiting, position=self.position, message=f"{waiting.message} {self.note}".rstrip())


class Places:
    """The places of the Jobs of one namespace.

    Args:
        api: asked for Kueue's queues.
    """

    def __init__(self, api: KubeApi) -> None:
        self._api = api
        self._asked: dict[str, float] = {}
        self._queues: dict[str, Mapping[str, Place] | str] = {}

    def known(self, jobs: Iterable[Object], pods: Iterable[Object]) -> dict[str, Place]:
        """Return the places of Jobs by name, of queues as they were last told."""
        there = list(jobs)
        found = line(there, pods)
        for job in there:
            told = self._queues.get(queue(job), "")
            place = Place(0, told) if isinstance(told, str) else told.get(job["metadata"]["uid"])
            if place is not None and queue(job):
                found[job["metadata"]["name"]] = place
        return found

    async def refresh(self, jobs: Iterable[Object]) -> bool:
        """Ask for the queues in which Jobs wait, each at most every 5 s; return whether anything is new."""
        wanted = {name for job in jobs if (name := queue(job))}
        self._queues = {name: told for name, told in self._queues.items() if name in wanted}
        now, before = time.monotonic(), self._queues.copy()
        for name in sorted(wanted):
            if now - self._asked.get(name, -_ASK_SECONDS) >= _ASK_SECONDS:
                self._asked[name] = now
                self._queues[name] = await self._ask(name)
        return self._queues != before

    async def _ask(self, name: str) -> Mapping[str, Place] | str:
        """Return the places in a queue by the Jobs' uids, or why they are not known."""
        try:
            group = await self._api.get(_VISIBILITY)
            version = group["preferredVersion"]["groupVersion"]
            found = await self._api.get(self._api.path(f"{version}/localqueues", name, "pendingworkloads"))
        except NotFound:
            return _ABSENT
        except FineTuneFlowError:
            return _CLOSED
        return in_queue(found.get("items") or [])


def queue(job: Object) -> str:
    """Return the name of the queue in which a Job waits to be admitted; "" if it does not."""
    if over(job) or not suspended(job):
        return ""
    return str((job["metadata"].get("labels") or {}).get(QUEUE_LABEL, ""))


def in_queue(workloads: Iterable[Object]) -> dict[str, Place]:
    """Return the places of Jobs, by uid, of what Kueue tells of a LocalQueue.

    Several LocalQueues share a ClusterQueue: what comes before a Job is what is before it there.
    """
    found = {}
    for workload in workloads:
        shared, own = (int(workload.get(f"positionIn{which}Queue") or 0) for which in ("Cluster", "Local"))
        note = f"{shared} come before it, {own} of them in this queue." if shared else "It is the next."
        for owner in workload["metadata"].get("ownerReferences") or []:
            found[owner.get("uid", "")] = Place(shared + 1, note)
    return found


def line(jobs: Iterable[Object], pods: Iterable[Object]) -> dict[str, Place]:
    """Return the places of Jobs for which no node has room, by name: as the scheduler takes pods, by priority and age.

    What others run in the cluster is not counted.
    """
    unplaced: dict[str, int] = {}
    for pod in pods:
        scheduled = conditions(pod).get("PodScheduled", {})
        if scheduled.get("status") == "False" and scheduled.get("reason") == "Unschedulable":
            priority = int(pod.get("spec", {}).get("priority") or 0)
            for owner in pod["metadata"].get("ownerReferences") or []:
                unplaced[owner["uid"]] = max(priority, unplaced.get(owner["uid"], priority))
    waiting = [job for job in jobs if job["metadata"]["uid"] in unplaced and not over(job)]
    waiting.sort(key=lambda job: (-unplaced[job["metadata"]["uid"]], age(job)))
    return {job["metadata"]["name"]: Place(place) for place, job in enumerate(waiting, start=1)}
