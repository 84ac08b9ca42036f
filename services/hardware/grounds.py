"""What there is to train on: this machine, or the cluster's nodes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from services.common.kube.capacity import NodeCapacity
from services.hardware.core_cluster import Cluster, Rules, place, read_cluster
from services.hardware.core_inventory import Machine
from services.hardware.core_model import File
from services.hardware.core_placement import Asked, Placement, on_machine
from services.hardware.hubcache import HubCache, weights
from services.hardware.ports import MachineReader


class ThisMachine:
    """The machine that the service runs on; see ports.Ground."""

    def __init__(self, machine: MachineReader, cache: HubCache) -> None:
        self._machine = machine
        self._cache = cache

    async def inventory(self) -> Machine:
        """Return what there is to train on now."""
        return await asyncio.to_thread(self._machine.read)

    async def place(self, asked: Asked) -> Placement:
        """Return where a training would run."""
        return on_machine(await self.inventory(), asked)

    async def fetched(self, hub_id: str, revision: str, files: Sequence[File]) -> int:
        """Return what a run fetches."""
        return await asyncio.to_thread(self._cache.missing, hub_id, revision, files)


class Nodes:
    """The nodes of a cluster; see ports.Ground.

    Args:
        read: gives the nodes; see kube.inventory.ClusterNodes.
        rules: how the pods of runs are made.
    """

    def __init__(self, read: Callable[[], Awaitable[list[NodeCapacity]]], rules: Rules) -> None:
        self._read = read
        self._rules = rules

    async def inventory(self) -> Cluster:
        """Return what there is to train on now."""
        return read_cluster(await self._read(), self._rules)

    async def place(self, asked: Asked) -> Placement:
        """Return where a training would run."""
        return place(await self.inventory(), asked)

    async def fetched(self, hub_id: str, revision: str, files: Sequence[File]) -> int:
        """Return what a run fetches: all, for a cache of its own is empty, and a shared one is no part of its disk."""
        return 0 if self._rules.shared_cache else sum(file.size_bytes for file in weights(files))
