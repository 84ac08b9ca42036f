"""The logs of pods: followed while they are written, kept as objects when a pod has ended, read from either."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections.abc import AsyncIterator, Iterable
from datetime import datetime

from services.common.errors import FineTuneFlowError, InvalidArgument, NotFound, Unavailable
from services.common.jobs.loglines import LogTail, log_lines
from services.common.kube.api import KubeApi, Object
from services.common.kube.podspec import CONTAINER
from services.common.kube.podstate import trainer
from services.common.objects.port import Objects

log = logging.getLogger(__name__)

_JOB_LABEL = "batch.kubernetes.io/job-name"
_JOB = re.compile(r"([a-z][a-z0-9]*)-(.+)-(\d+)")
_SILENCE_SECONDS = 300.0
_RETRY_SECONDS = 0.5
_MAX_RETRY_SECONDS = 10.0
_READ_SECONDS = 10.0
_FINISH_SECONDS = 5.0
_LAST_TRIES = 3


class PodLogs:
    """The logs of the pods of Jobs.

    A log that is being followed is kept in memory, at most its last 20 MiB; what a pod that ended wrote is one object,
    `{kind}s/{uid}/logs/{launch}/{start}-{pod}.log`. Several replicas follow the same pods and write the same objects.
    """

    def __init__(self, api: KubeApi, objects: Objects) -> None:
        self._api = api
        self._objects = objects
        self._tails: dict[str, LogTail] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._jobs: dict[str, str] = {}
        self._kept: set[str] = set()

    def notice(self, kind: str, pod: Object) -> None:
        """Follow a pod as soon as it writes; called with every event of every pod. Repeating it does nothing."""
        uid = pod["metadata"]["uid"]
        if kind == "DELETED":
            self._kept.discard(uid)
        elif uid not in self._tasks and uid not in self._kept and trainer(pod).keys() & {"running", "terminated"}:
            self._jobs[uid] = job_of(pod)
            self._tails[uid] = LogTail()
            task = asyncio.create_task(self._follow(pod), name=f"log of {pod['metadata']['name']}")
            self._tasks[uid] = task
            task.add_done_callback(lambda done: self._over(uid, done))

    async def finish(self, job: str) -> None:
        """Wait, at most 5 s, until the logs of a Job whose pods have ended are kept."""
        await _wait([task for uid, task in self._tasks.items() if self._jobs[uid] == job])

    async def lines(self, job: str, pods: Iterable[Object]) -> AsyncIterator[str]:
        """Yield what the pods of a Job wrote, pod after pod.

        Args:
            pods: those that the cluster knows.
        """
        there = {pod["metadata"]["uid"]: pod for pod in pods}
        mine = {uid: task for uid, task in self._tasks.items() if self._jobs[uid] == job}
        await _wait([task for uid, task in mine.items() if "running" not in trainer(there.get(uid, {}))])
        kept = [key async for key in self._objects.list(log_prefix(job))]
        live = {log_key(pod): pod for pod in there.values()}
        for key in sorted({*kept, *live}):
            lines = await self._kept_lines(key) if key in kept else await self._live_lines(live[key])
            for line in lines:
                yield line

    async def forget(self, job: str) -> None:
        """Remove what was kept of a Job's logs."""
        tasks = [task for uid, task in self._tasks.items() if self._jobs[uid] == job]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        async for key in self._objects.list(log_prefix(job)):
            await self._objects.delete(key)

    async def close(self) -> None:
        """Follow no more. What was not kept yet, the next runner reads again."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _over(self, uid: str, task: asyncio.Task[None]) -> None:
        for kept in (self._tasks, self._tails, self._jobs):
            kept.pop(uid, None)
        if not task.cancelled() and task.exception() is not None:
            log.error("A log was not kept", exc_info=task.exception())

    async def _follow(self, pod: Object) -> None:
        """Read a pod's log until the pod has ended, then keep it."""
        meta, key = pod["metadata"], log_key(pod)
        ended = False
        if await self._is_kept(key):
            self._kept.add(meta["uid"])
            return
        tries = failures = 0
        while not ended or tries < _LAST_TRIES:
            whole = await self._read(meta, follow=not ended)
            if ended and whole:
                break
            tries = tries + 1 if ended else 0
            failures = 0 if whole else failures + 1
            ended = ended or await self._has_ended(pod)
            if not ended or not whole:
                await asyncio.sleep(min(_RETRY_SECONDS * 2**failures, _MAX_RETRY_SECONDS))
        text = "".join(f"{line}\n" for line in await asyncio.to_thread(self._tails[meta["uid"]].lines))
        if text:
            # Of a pod that went before it was read here, another replica may have the log; what is kept first stays.
            await self._keep(key, text)
        self._kept.add(meta["uid"])

    async def _read(self, meta: Object, follow: bool) -> bool:
        """Read a log from its beginning, as far as it goes; return whether nothing was in the way.

        A log that is shorter than what was read before does not replace it: the pod is on its way out.
        """
        uid, fresh = meta["uid"], LogTail()
        query = {"container": CONTAINER, **({"follow": "true"} if follow else {})}
        path = self._api.path("pods", meta["name"], "log")
        try:
            async with self._api.stream(path, query, _SILENCE_SECONDS) as chunks:
                async for chunk in chunks:
                    fresh.feed(chunk)
                    if fresh.size >= self._tails[uid].size:
                        self._tails[uid] = fresh
        except NotFound:
            return True
        except FineTuneFlowError as error:
            log.debug("The log of %s: %s", meta["name"], error)
            return False
        return True

    async def _has_ended(self, pod: Object) -> bool:
        try:
            now = await self._api.find(self._api.path("pods", pod["metadata"]["name"]))
        except FineTuneFlowError:
            return False
        if now is None or now["metadata"]["uid"] != pod["metadata"]["uid"]:
            return True
        return "terminated" in trainer(now) or now.get("status", {}).get("phase") in ("Succeeded", "Failed")

    async def _is_kept(self, key: str) -> bool:
        with contextlib.suppress(Unavailable):  # then it is read again, which does no harm
            return await self._objects.size(key) is not None
        return False

    async def _keep(self, key: str, text: str) -> None:
        while True:
            try:
                await self._objects.put(key, text.encode())
                return
            except FineTuneFlowError as error:
                log.warning("%s cannot be kept yet: %s", key, error)
                await asyncio.sleep(10 * _RETRY_SECONDS)

    async def _kept_lines(self, key: str) -> list[str]:
        try:
            return await asyncio.to_thread(log_lines, await self._objects.read(key))
        except NotFound:
            return []

    async def _live_lines(self, pod: Object) -> list[str]:
        uid = pod["metadata"]["uid"]
        followed = self._tails.get(uid)
        if followed is None or not followed.size or "running" not in trainer(pod):
            read = LogTail()
            path = self._api.path("pods", pod["metadata"]["name"], "log")
            with contextlib.suppress(NotFound, InvalidArgument):  # gone, or not started
                async with self._api.stream(path, {"container": CONTAINER}, _READ_SECONDS) as chunks:
                    async for chunk in chunks:
                        read.feed(chunk)
            followed = read if followed is None or read.size >= followed.size else followed
        return await asyncio.to_thread(followed.lines)


def job_of(pod: Object) -> str:
    """Return the name of the Job that a pod belongs to."""
    return str((pod["metadata"].get("labels") or {}).get(_JOB_LABEL, ""))


def log_prefix(job: str) -> str:
    """Return what the keys of a Job's logs begin with; a Job's name is its kind, the work's uid and the launch."""
    found = _JOB.fullmatch(job)
    return f"{found[1]}s/{found[2]}/logs/{int(found[3]):04d}/" if found else f"jobs/{job}/logs/"


def log_key(pod: Object) -> str:
    """Return the key of a pod's log; keys of one Job sort by when their pods were made."""
    made = datetime.fromisoformat(pod["metadata"]["creationTimestamp"]).strftime("%Y%m%dT%H%M%SZ")
    return f"{log_prefix(job_of(pod))}{made}-{pod['metadata']['name']}.log"


async def _wait(tasks: list[asyncio.Task[None]]) -> None:
    if tasks:
        await asyncio.wait(tasks, timeout=_FINISH_SECONDS)
