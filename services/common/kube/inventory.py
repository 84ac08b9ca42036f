"""The nodes of the cluster and what is free on them, by the Kubernetes API."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Any, Protocol

from services.common.kube.api import KubeApi
from services.common.kube.capacity import NodeCapacity, read_nodes
from services.common.kube.client import connected

KEEP_SECONDS = 3.0
"""How old an answer may be: a question about a model asks several times."""

# From the API server's memory: both lists are long in a large cluster, and some seconds more or less do not matter.
_CACHED = {"resourceVersion": "0"}
_LIVE = {**_CACHED, "fieldSelector": "status.phase!=Succeeded,status.phase!=Failed"}


class Lists(Protocol):
    """What is needed of the Kubernetes API: see api.KubeApi."""

    async def get(self, path: str, query: dict[str, str]) -> dict[str, Any]:
        """Read a list."""
        ...


class ClusterNodes:
    """Reads nodes and pods; connects at the first question.

    Args:
        api: None connects as the pod, or by $KUBECONFIG.
    """

    def __init__(self, api: Lists | None = None, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._api = api
        self._monotonic = monotonic
        self._stack = contextlib.AsyncExitStack()
        self._lock = asyncio.Lock()
        self._kept: list[NodeCapacity] = []
        self._until = float("-inf")

    async def read(self) -> list[NodeCapacity]:
        """Return the nodes by name, at most three seconds old.

        Raises:
            Unavailable: the API server does not answer, or this service's account may not list nodes and pods
                (CONFIGURATION).
        """
        async with self._lock:
            if self._monotonic() >= self._until:
                self._kept = await self._read()
                self._until = self._monotonic() + KEEP_SECONDS
            return self._kept

    async def close(self) -> None:
        """Close the connection."""
        await self._stack.aclose()

    async def _read(self) -> list[NodeCapacity]:
        if self._api is None:
            self._api = KubeApi(await self._stack.enter_async_context(connected()), namespace="")
        nodes, pods = await asyncio.gather(
            self._api.get("/api/v1/nodes", _CACHED), self._api.get("/api/v1/pods", _LIVE)
        )
        return read_nodes(nodes.get("items") or [], pods.get("items") or [])
