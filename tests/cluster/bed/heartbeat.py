"""A Node's registration and its signs of life."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import Any

from tests.cluster.bed.api import AWAY, ApiError
from tests.cluster.bed.nodehost import NodeHost
from tests.cluster.bed.statuses import stamp

Json = dict[str, Any]
RENEW = 1.0  # seconds; the controllers of the bed wait six for it
PRESSURES = ("MemoryPressure", "DiskPressure", "PIDPressure")
VERSION = "v1.36.2"


def conditions() -> list[Json]:
    """Return a healthy node's conditions."""
    ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "kubelet is posting ready status"}
    found = [ready, *({"type": kind, "status": "False", "reason": "KubeletHasSufficient"} for kind in PRESSURES)]
    return [{**one, "lastHeartbeatTime": stamp(), "lastTransitionTime": stamp()} for one in found]


def node_status(host: NodeHost, node: Json) -> Json:
    """Return the whole status of a node whose `status` holds its capacity."""
    capacity = node["status"]["capacity"]
    info = dict.fromkeys(("bootID", "machineID", "systemUUID", "kernelVersion", "osImage"), "bed")
    info |= {"architecture": "amd64", "operatingSystem": "linux", "containerRuntimeVersion": "bed://1"}
    info |= {"kubeletVersion": VERSION, "kubeProxyVersion": ""}
    return {
        "capacity": capacity,
        "allocatable": capacity,
        "addresses": [{"type": "InternalIP", "address": host.ip}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
        "nodeInfo": info,
        "conditions": conditions(),
    }


async def register(host: NodeHost, node: Json) -> None:
    """Make the Node and its Lease; both may be there from before."""
    body = {"apiVersion": "v1", "kind": "Node", "metadata": node["metadata"], "spec": node.get("spec", {})}
    while True:
        try:
            for kind, namespace, one in (("nodes", "", body), (LEASES, LEASE_NAMESPACE, lease(host))):
                try:
                    await host.api.create(kind, namespace, one)
                except ApiError as error:
                    if error.code != 409:
                        raise
            await host.api.patch("nodes", "", host.name, {"status": node_status(host, node)}, "status")
            return
        except (ApiError, *AWAY):
            await asyncio.sleep(0.3)


LEASES, LEASE_NAMESPACE = "coordination.k8s.io/v1/leases", "kube-node-lease"


def lease(host: NodeHost) -> Json:
    """Return the node's Lease as it is renewed now."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    spec = {"holderIdentity": host.name, "leaseDurationSeconds": 40, "renewTime": now}
    return {"metadata": {"name": host.name, "namespace": LEASE_NAMESPACE}, "spec": spec}


async def heartbeat(host: NodeHost) -> None:
    """Renew the Lease every second, and the conditions every ten and after an absence."""
    last = time.monotonic()
    while True:
        absent = host.away
        await host.present()
        try:
            await host.api.patch(LEASES, LEASE_NAMESPACE, host.name, lease(host))
            if absent or time.monotonic() - last > 10:
                await host.api.patch("nodes", "", host.name, {"status": {"conditions": conditions()}}, "status")
                last = time.monotonic()
        except (ApiError, *AWAY):
            # Without an answer the controllers may have taken the node for lost: say that it is not.
            last = 0.0
        await asyncio.sleep(RENEW)
