"""Which pods stand behind each Service, followed by watches: what kube-proxy and the cluster's DNS know."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from tests.cluster.bed.api import Api

Json = dict[str, Any]
SLICES = "discovery.k8s.io/v1/endpointslices"


@dataclass(frozen=True)
class Endpoint:
    """One pod behind a Service. `ports` maps the name of each port of the Service to the pod's own number."""

    ip: str
    hostname: str
    ready: bool
    ports: tuple[tuple[str, int], ...]


class Services:
    """The Services of the cluster and their endpoints."""

    def __init__(self, api: Api, namespace: str = "") -> None:
        """Follow nothing yet; without a namespace, all of them."""
        self._api, self._namespace = api, namespace
        self._slices: dict[tuple[str, str], Json] = {}
        self._services: dict[tuple[str, str], Json] = {}

    async def follow(self) -> None:
        """Keep both up to date, for ever."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._keep(SLICES, self._slices))
            tasks.create_task(self._keep("services", self._services))

    async def _keep(self, kind: str, known: dict[tuple[str, str], Json]) -> None:
        async for event, found in self._api.watch(kind, self._namespace):
            if event == "SYNC":
                known.clear()
                known.update({self._key(item): item for item in found["items"]})
            elif event == "DELETED":
                known.pop(self._key(found), None)
            elif event in ("ADDED", "MODIFIED"):
                known[self._key(found)] = found

    @staticmethod
    def _key(found: Json) -> tuple[str, str]:
        return found["metadata"]["namespace"], found["metadata"]["name"]

    def get(self, namespace: str, name: str) -> Json | None:
        """Return a Service."""
        return self._services.get((namespace, name))

    def endpoints(self, namespace: str, name: str) -> list[Endpoint]:
        """Return the endpoints of a Service, ready or not."""
        found = []
        for (space, _), one in sorted(self._slices.items()):
            if space != namespace or one["metadata"].get("labels", {}).get("kubernetes.io/service-name") != name:
                continue
            ports = tuple((port.get("name") or "", int(port["port"])) for port in one.get("ports") or [])
            for endpoint in one.get("endpoints") or []:
                ready = endpoint.get("conditions", {}).get("ready") is not False
                host = endpoint.get("hostname") or ""
                found += [Endpoint(ip, host, ready, ports) for ip in endpoint["addresses"]]
        return found
