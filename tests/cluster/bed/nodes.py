"""Nodes of the bed as tests handle them."""

from __future__ import annotations

import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import aiohttp

from tests.cluster.bed.api import Api
from tests.cluster.bed.programs import NotUp, Program
from tests.cluster.bed.waits import until

Json = dict[str, Any]
GPU_TAINT: Json = {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}


def describe(
    name: str,
    *,
    cpu: int,
    memory: str,
    disk: str,
    gpus: int = 0,
    product: str = "",
    gpu_memory: int = 0,
    labels: Mapping[str, str] | None = None,
    taints: Sequence[Json] = (),
) -> Json:
    """Return a Node with the labels that Kubernetes and GPU feature discovery give it."""
    own = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}
    capacity = {"cpu": str(cpu), "memory": memory, "ephemeral-storage": disk, "pods": "110"}
    if gpus:
        own |= {
            "nvidia.com/gpu.present": "true", "nvidia.com/gpu.product": product, "nvidia.com/gpu.count": str(gpus),
            "nvidia.com/gpu.memory": str(gpu_memory), "nvidia.com/gpu.family": "ampere",
        }  # fmt: skip
        capacity["nvidia.com/gpu"] = str(gpus)
    metadata = {"name": name, "labels": own | dict(labels or {})}
    return {"metadata": metadata, "spec": {"taints": list(taints)}, "status": {"capacity": capacity}}


class BedNode:
    """A node that runs, and what can be done to it."""

    def __init__(self, name: str, number: int, program: Program, api: Api) -> None:
        """Use `node` instead."""
        self.name, self.program, self.ip = name, program, f"10.244.{number}.1"
        self._api = api
        self._tls = ssl.create_default_context()
        self._tls.check_hostname = False
        self._tls.verify_mode = ssl.CERT_NONE

    async def _call(self, method: str, what: str, **query: str) -> Json:
        url = f"https://{self.ip}:10250/bed/{what}"
        async with aiohttp.request(method, url, params=query, ssl=self._tls) as reply:
            if reply.status >= 400:
                raise LookupError(f"{what} {query}: {await reply.text()}")
            found: Json = await reply.json()
            return found

    async def vanish(self) -> None:
        """Lose the node: no heartbeat, no status, no logs; its processes run on."""
        await self._call("POST", "vanish")

    async def come_back(self) -> None:
        """Let the node be seen again; what was deleted meanwhile ends now."""
        await self._call("POST", "come-back")

    async def out_of_memory(self, uid: str, container: str = "") -> None:
        """Kill a container (the first if unnamed) of the pod with this uid as the kernel's OOM killer does."""
        await self._call("POST", "oom", pod=uid, **({"container": container} if container else {}))

    async def evict(self, uid: str) -> None:
        """Evict a pod for want of disk, as a kubelet does. For evictions by the API use the pod's eviction."""
        await self._call("POST", "evict", pod=uid)

    async def pids(self) -> dict[str, dict[str, int]]:
        """Return the process of each container, 0 for one that ended: pod UID → container → pid."""
        return await self._call("GET", "pods")

    async def ready(self) -> bool:
        """Whether the API server takes the node for ready, and lets pods onto it."""
        found = await self._api.get("nodes", "", self.name)
        kinds = {one["type"]: one["status"] for one in found["status"].get("conditions", [])}
        lost = [one for one in found["spec"].get("taints", []) if one["key"].startswith("node.kubernetes.io/")]
        return kinds.get("Ready") == "True" and not lost


@contextlib.asynccontextmanager
async def node(api: Api, folder: Path, kubeconfig: Path, number: int, description: Json) -> AsyncIterator[BedNode]:
    """Run a node; at the end its pods are ended and it is taken out of the cluster."""
    name = description["metadata"]["name"]
    options = [f"--kubeconfig={kubeconfig}", f"--bed={folder}", f"--number={number}"]
    options.append(f"--node={json.dumps(description)}")
    program = Program.module("tests.cluster.bed.kubelet", options, folder, f"kubelet-{name}")
    program.start()
    found = BedNode(name, number, program, api)

    async def up() -> bool:
        if not program.alive:
            raise NotUp(f"the kubelet of {name} ended. The end of {program.log}:\n{program.tail()}")
        return await found.ready()

    try:
        await until(up, f"node {name} is ready", 30)
        yield found
    finally:
        try:
            for pod in await api.list("pods", fieldSelector=f"spec.nodeName={name}"):
                await api.delete("pods", pod["metadata"]["namespace"], pod["metadata"]["name"], gracePeriodSeconds=0)
        finally:
            program.stop()
            await api.delete("nodes", "", name)
