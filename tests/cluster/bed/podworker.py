"""One pod on the node, from the moment it is bound until it is gone."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import traceback
from pathlib import Path
from typing import Any

from tests.cluster.bed.api import AWAY, ApiError
from tests.cluster.bed.containers import Container
from tests.cluster.bed.nodehost import NodeHost
from tests.cluster.bed.statuses import ContainerState, PodState
from tests.cluster.bed.volumes import MountError, Volumes

Json = dict[str, Any]
REFRESH = 3.0  # seconds between looks at the Secrets and ConfigMaps of volumes
RETRY = 1.0  # seconds between attempts at what is missing


def tell(task: asyncio.Task[None]) -> None:
    """Say in the kubelet's log why a task of a pod failed."""
    if not task.cancelled() and task.exception():
        traceback.print_exception(task.exception())


class PodWorker:
    """Runs one pod."""

    def __init__(self, host: NodeHost, pod: Json, ip: str) -> None:
        """Begin at once; `host` is the node."""
        self.pod, self.host = pod, host
        self.uid = str(pod["metadata"]["uid"])
        self.folder: Path = host.folder / "pods" / self.uid
        (self.folder / "logs").mkdir(parents=True, exist_ok=True)
        self.volumes = Volumes(host.api, pod, self.folder / "volumes", host.lookup)
        spec = pod["spec"]
        init = [ContainerState(c["name"], c["image"]) for c in spec.get("initContainers", [])]
        main = [ContainerState(c["name"], c["image"]) for c in spec["containers"]]
        self.state = PodState(pod, ip, host.ip, init, main)
        self.containers = [
            Container(self, one, state)
            for one, state in zip([*spec.get("initContainers", []), *spec["containers"]], [*init, *main], strict=True)
        ]
        self._changed = asyncio.Event()
        self._end = asyncio.Event()
        self._mounted = asyncio.Event()
        self._grace = 30.0
        self._tasks = [asyncio.create_task(self._live()), asyncio.create_task(self._report())]
        for task in self._tasks:
            task.add_done_callback(tell)

    def changed(self) -> None:
        """Note that the status is to be written."""
        self._changed.set()

    def update(self, pod: Json) -> None:
        """Take the pod as it is now; a pod that is being deleted is ended."""
        self.pod = self.state.pod = pod
        # The node controller takes the pods of a silent node for not ready; whether they are is for the kubelet to say.
        said = {one["type"]: one["status"] for one in pod.get("status", {}).get("conditions") or []}
        if any(said.get(one["type"], one["status"]) != one["status"] for one in self.state.json()["conditions"]):
            self.changed()
        if pod["metadata"].get("deletionTimestamp"):
            self.end(float(pod["metadata"].get("deletionGracePeriodSeconds") or 0))
            # It may have ended before, and waits only to be taken away.
            self.changed()

    def end(self, grace: float) -> None:
        """End all containers within the grace; a second call may only shorten it."""
        self._grace = min(grace, self._grace) if self._end.is_set() else grace
        self._end.set()
        for container in self.containers:
            container.hurry(self._grace)

    def evict(self, message: str) -> None:
        """End the pod as a kubelet does whose node runs out of something."""
        self.state.reason, self.state.message = "Evicted", message
        self.state.disrupted("TerminationByKubelet", message)
        self.end(0)

    async def _live(self) -> None:
        """Run the containers until they have ended or the pod is to end."""
        work = asyncio.create_task(self._run())
        stop = asyncio.create_task(self._end.wait())
        limit = self.pod["spec"].get("activeDeadlineSeconds")
        await asyncio.wait([work, stop], return_when=asyncio.FIRST_COMPLETED, timeout=limit)
        if not work.done() and not stop.done():
            self.state.reason, self.state.message = "DeadlineExceeded", "Pod was active on the node longer than allowed"
            self.end(float(self.pod["spec"].get("terminationGracePeriodSeconds", 30)))
        stop.cancel()
        if self._end.is_set():
            work.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await work
            await asyncio.gather(*(container.terminate(self._grace) for container in self.containers))
            self.state.ended = True
        self.changed()

    async def _run(self) -> None:
        refresh = asyncio.create_task(self._mount())
        try:
            await self._mounted.wait()
            count = len(self.state.init)
            for container in self.containers[:count]:
                while await container.run() != 0:
                    if self.state.policy == "Never":
                        return
            await asyncio.gather(*(container.run() for container in self.containers[count:]))
        finally:
            refresh.cancel()

    async def _mount(self) -> None:
        """Set the volumes up, and keep them as their objects are."""
        while True:
            try:
                await self.volumes.prepare()
                self._mounted.set()
            except MountError as error:
                await self.host.event(self.pod, "FailedMount", str(error))
            except AWAY:
                pass
            if self._mounted.is_set() and not self.volumes.changing:
                return
            await asyncio.sleep(REFRESH if self._mounted.is_set() else RETRY)

    async def _report(self) -> None:
        """Write the status whenever it changed; after the last one of a deleted pod, take the pod away."""
        self.changed()
        while True:
            await self._changed.wait()
            self._changed.clear()
            await self.host.present()
            over = self.state.phase in ("Succeeded", "Failed") and all(
                "running" not in c.state for c in self.state.main
            )
            meta = self.pod["metadata"]
            try:
                status = {"metadata": {"uid": self.uid}, "status": self.state.json()}
                await self.host.api.patch("pods", meta["namespace"], meta["name"], status, "status")
                if over and meta.get("deletionTimestamp"):
                    await self._forget()
            except ApiError as error:
                if error.code in (404, 409, 422):
                    continue
                await self._again()
            except AWAY:
                await self._again()

    async def _again(self) -> None:
        await asyncio.sleep(RETRY / 2)
        self.changed()

    async def _forget(self) -> None:
        """Take the pod out of the API: the last thing a kubelet does for it."""
        meta = self.pod["metadata"]
        options = {"gracePeriodSeconds": 0, "preconditions": {"uid": self.uid}}
        await self.host.api.delete("pods", meta["namespace"], meta["name"], **options)

    async def remove(self) -> None:
        """The pod is gone from the API: end what is left of it, and its folder."""
        self.end(0)
        for container in self.containers:
            container.kill()
        await asyncio.wait(self._tasks[:1])
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.volumes.remove()
        await asyncio.to_thread(shutil.rmtree, self.folder, True)
