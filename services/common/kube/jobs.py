"""Jobs of a Kubernetes cluster, for any number of runners at once: each is a batch/v1 Job."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import math
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from typing import Any

from kubernetes.aio.client import ApiClient

from services.common import incidents
from services.common.errors import Conflict, FineTuneFlowError, InvalidArgument, NotFound
from services.common.jobs.port import MAX_GPUS, MAX_NODES, JobSpec, JobStatus, Resources, check_name, check_spec
from services.common.jobs.quantity import check_quantities
from services.common.kube import status
from services.common.kube.api import KubeApi, Object
from services.common.kube.client import own_namespace
from services.common.kube.logs import PodLogs, job_of
from services.common.kube.making import JOBS, JobMaker
from services.common.kube.manifest import OURS, STOPPED_ANNOTATION, selector
from services.common.kube.places import Place, Places
from services.common.kube.podstate import pod_state, trainer
from services.common.kube.template import JobTemplate
from services.common.kube.watch import Mirror
from services.common.objects.port import Objects

log = logging.getLogger(__name__)

_DELETE_GRACE_SECONDS = 5.0
_GONE_SECONDS = 30.0
_POLL_SECONDS = 0.25
_TIDY_SECONDS = 60.0
_EXPLAIN_SECONDS = 2.0
_MOST_EXPLAINED = 20
_OVER = ("SUCCEEDED", "FAILED")


class KubernetesJobs:
    """Runs trainers as Jobs of a cluster. It keeps nothing: what it knows, it reads from there.

    Args:
        client: the connection; its owner closes it after this runner.
        template: what all Jobs have in common.
        objects: where the logs of pods go when these end.
        release: tells the Jobs of one installation from those of others in the namespace.
        kinds: of Jobs that this runner looks after: "run", "chat", "export"; none for all.
        namespace: of the Jobs; by default that of this pod.
    """

    def __init__(
        self,
        client: ApiClient,
        template: JobTemplate,
        objects: Objects,
        release: str,
        *,
        kinds: Sequence[str] = (),
        namespace: str = "",
    ) -> None:
        self._api = KubeApi(client, namespace)
        self._template = template
        self._maker = JobMaker(self._api, template, release)
        self._logs = PodLogs(self._api, objects)
        self._mine = selector(release) + (f",{OURS}/kind in ({','.join(kinds)})" if kinds else "")
        self._jobs = Mirror(self._api, JOBS, self._mine, self._job_changed)
        self._pods = Mirror(self._api, "pods", self._mine, self._pod_changed)
        self._places = Places(self._api)
        self._events: dict[str, tuple[float, Sequence[Object]]] = {}
        self._verdicts: dict[str, JobStatus] = {}
        self._listeners: list[Callable[[], None]] = []
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def restarts(self) -> bool:
        """See port.JobRunner: the Job controller starts another pod when one fails."""
        return True

    async def start(self) -> None:
        """Begin to follow the cluster, which need not answer yet. Repeating it does nothing."""
        if not self._api.namespace:
            self._api.namespace = await own_namespace()
        if not self._tasks:
            loops = {
                "jobs": self._jobs.run(),
                "pods": self._pods.run(),
                "explain": self._repeat(self._explain, _EXPLAIN_SECONDS),
                "tidy": self._repeat(self.tidy, _TIDY_SECONDS),
            }
            self._tasks = [asyncio.create_task(loop, name=f"kubernetes: {name}") for name, loop in loops.items()]

    async def close(self) -> None:
        """Follow no more; the Jobs go on. Repeating it does nothing."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._logs.close()

    def check(self, resources: Resources) -> None:
        """See port.JobRunner."""
        check_quantities(resources)
        limits = {"nodes": (resources.nodes, 1, MAX_NODES), "gpus": (resources.gpus or 0, 0, MAX_GPUS)}
        for name, (value, low, high) in limits.items():
            if not low <= value <= high:
                raise InvalidArgument(f"{name} is {value}. Use {low} to {high}.", field=f"resources.{name}")
        if resources.active_deadline_seconds < 0:
            raise InvalidArgument(
                "active_deadline_seconds is negative. Use 0 for the default.", field="resources.active_deadline_seconds"
            )

    def heeds(self, priority: int, resources: Resources) -> bool:
        """See port.JobRunner: as far as the settings of Jobs list classes for it that such a Job gets."""
        return self._template.classes(priority, resources) != self._template.classes(0, resources)

    def listen(self, changed: Callable[[], None]) -> None:
        """See port.JobRunner."""
        self._listeners.append(changed)

    async def ensure(self, spec: JobSpec) -> None:
        """See port.JobRunner."""
        check_spec(spec)
        self._jobs.put(await self._maker.make(spec))

    async def get(self, name: str) -> JobStatus | None:
        """See port.JobRunner. Asks the API server, not what is remembered."""
        check_name(name)
        job = await self._api.find(self._api.path(JOBS, name))
        if job is None:
            return None
        pods = await self._pods_of(name)
        events: list[Object] = []
        for thing in status.unexplained(job, pods, time.time()):
            events += await self._events_of(thing)
        if status.over(job):
            return self._judged(job, pods)
        places = self._places.known(self._jobs.known(), self._pods.known())
        return _placed(self._status(job, pods, events), places)

    async def list(self) -> list[JobStatus]:
        """See port.JobRunner. Answers from what is remembered, which is at most 30 s old."""
        jobs, pods = await self._jobs.items(), await self._pods.items()
        by_job: dict[str, list[Object]] = {}
        for pod in pods:
            by_job.setdefault(job_of(pod), []).append(pod)
        told = [event for _, events in self._events.values() for event in events]
        self._verdicts = {uid: self._verdicts[uid] for job in jobs if (uid := job["metadata"]["uid"]) in self._verdicts}
        found, places = [], self._places.known(jobs, pods)
        for job in sorted(jobs, key=status.age):
            name = job["metadata"]["name"]
            if status.over(job):
                # Its pods may be remembered as they were before its end.
                known = job["metadata"]["uid"] in self._verdicts
                found.append(self._judged(job, [] if known else await self._pods_of(name)))
            else:
                found.append(_placed(self._status(job, by_job.get(name, []), told), places))
        return found

    async def stop(self, name: str, grace_seconds: float) -> None:
        """See port.JobRunner."""
        check_name(name)
        path, grace = self._api.path(JOBS, name), max(1, math.ceil(grace_seconds))
        while (job := await self._api.find(path)) is not None:
            pods = await self._pods_of(name)
            if self._status(job, pods, []).state in _OVER:
                break
            if not status.stopped(job):
                # One that its queue lets start later makes no pod.
                none = {"parallelism": 0} if status.suspended(job) else {}
                spec = {"activeDeadlineSeconds": 1, **none}
                with contextlib.suppress(NotFound):
                    await self._api.patch(
                        path, {"metadata": {"annotations": {STOPPED_ANNOTATION: "true"}}, "spec": spec}
                    )
            await self._end(status.own_pods(job, pods), grace)
            await asyncio.sleep(_POLL_SECONDS)
        await self._logs.finish(name)

    async def delete(self, name: str) -> None:
        """See port.JobRunner."""
        await self.stop(name, _DELETE_GRACE_SECONDS)
        job = await self._api.find(self._api.path(JOBS, name))
        await self._maker.remove(name)
        if job is not None:
            self._jobs.remove(job["metadata"]["uid"])
        deadline = time.monotonic() + _GONE_SECONDS
        while time.monotonic() < deadline and (pods := await self._pods_of(name)):
            # A pod whose node does not answer goes when the node is back.
            if all(self._is_lost(pod) for pod in pods):
                break
            await self._end(pods, int(_DELETE_GRACE_SECONDS))
            await asyncio.sleep(_POLL_SECONDS)
        await self._logs.forget(name)

    async def logs(self, name: str) -> AsyncIterator[str]:
        """See port.JobRunner. All pods of the Job, also of one that somebody else has removed."""
        check_name(name)
        async for line in self._logs.lines(name, await self._pods_of(name)):
            yield line

    async def _end(self, pods: Sequence[Mapping[str, Any]], grace: int) -> None:
        """Tell pods to go that have not ended, and were not told to go as soon."""
        for pod in pods:
            meta = pod["metadata"]
            told = meta.get("deletionTimestamp") and (meta.get("deletionGracePeriodSeconds") or 0) <= grace
            if "terminated" not in trainer(pod) and not told:
                options = {"gracePeriodSeconds": grace, "preconditions": {"uid": meta["uid"]}}
                with contextlib.suppress(Conflict):  # another of that name
                    await self._api.delete(self._api.path("pods", meta["name"]), options)

    async def tidy(self) -> None:
        """Repair or remove what a runner that was killed left half made. It is done each minute anyway."""
        await self._maker.tidy(await self._jobs.items(), self._mine)

    async def _pods_of(self, name: str) -> Sequence[Object]:
        query = {"labelSelector": f"batch.kubernetes.io/job-name={name}"}
        items: Sequence[Object] = (await self._api.get(self._api.path("pods"), query)).get("items") or []
        return items

    async def _events_of(self, name: str) -> Sequence[Object]:
        query = {"fieldSelector": f"involvedObject.name={name}"}
        items: Sequence[Object] = (await self._api.get(self._api.path("events"), query)).get("items") or []
        self._events[name] = (time.monotonic(), items)
        return items

    def _status(self, job: Object, pods: Sequence[Object], events: Sequence[Object]) -> JobStatus:
        return status.job_status(job, pods, events, time.time(), self._template.node_lost_seconds)

    def _judged(self, job: Object, pods: Sequence[Object]) -> JobStatus:
        """Return how a Job ended: what its pods said when that was first asked, for they may go before it."""
        return self._verdicts.setdefault(job["metadata"]["uid"], self._status(job, pods, []))

    def _is_lost(self, pod: Object) -> bool:
        return pod_state(pod, [], time.time(), self._template.node_lost_seconds).lost

    def _job_changed(self, kind: str, job: Object) -> None:
        self._tell()

    def _pod_changed(self, kind: str, pod: Object) -> None:
        self._logs.notice(kind, pod)
        self._tell()

    def _tell(self) -> None:
        for changed in self._listeners:
            changed()

    async def _explain(self) -> None:
        """Ask for the events and the places of what does not start, so that a list can say why."""
        if await self._places.refresh(self._jobs.known()):
            self._tell()
        pods = self._pods.known()
        wanted = [name for job in self._jobs.known() for name in status.unexplained(job, pods, time.time())]
        for name in set(self._events) - set(wanted):
            del self._events[name]
        before = self._events.copy()
        for name in sorted(wanted, key=lambda name: before.get(name, (0.0, []))[0])[:_MOST_EXPLAINED]:
            if await self._events_of(name) != before.get(name, (0.0, []))[1]:
                self._tell()

    async def _repeat(self, work: Callable[[], Coroutine[Any, Any, None]], every: float) -> None:
        while True:
            await asyncio.sleep(every)
            try:
                await work()
            except FineTuneFlowError as error:  # the mirrors say the rest
                log.debug("Kubernetes: %s", error)
            except Exception as error:
                incidents.report(log, "Looking after Jobs", error)


def _placed(found: JobStatus, places: Mapping[str, Place]) -> JobStatus:
    """Return a Job's status with its place in the line that it waits in."""
    if found.waiting is None or found.name not in places:
        return found
    return dataclasses.replace(found, waiting=places[found.name].told(found.waiting))
