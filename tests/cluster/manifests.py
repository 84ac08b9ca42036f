"""Pods, Jobs and Services as the bed's own tests need them."""

from __future__ import annotations

import sys
from typing import Any

from tests.cluster.bed.cluster import Bed
from tests.cluster.bed.waits import until

Json = dict[str, Any]
IMAGE = "bed/any"
RESTRICTED: Json = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "runAsUser": 65532,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def container(*command: str, **more: Any) -> Json:
    """Return a container that the restricted standard lets in."""
    return {"name": "main", "image": IMAGE, "command": list(command), "securityContext": RESTRICTED} | more


def python(program: str, *arguments: str, **more: Any) -> Json:
    """Return a container that runs a Python program."""
    return container(sys.executable, "-c", program, *arguments, **more)


def pod(main: Json, **spec: Any) -> Json:
    """Return a pod's specification: one container, not restarted."""
    return {"restartPolicy": "Never", "terminationGracePeriodSeconds": 5, "containers": [main]} | spec


def job(name: str, spec: Json, **more: Any) -> Json:
    """Return a Job whose pods are not tried again."""
    return {"metadata": {"name": name}, "spec": {"backoffLimit": 0, "template": {"spec": spec}} | more}


def deployment(name: str, spec: Json, replicas: int = 1) -> Json:
    """Return a Deployment whose pods carry the label app=NAME."""
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {**spec, "restartPolicy": "Always"}}
    return {
        "metadata": {"name": name},
        "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template},
    }


def service(name: str, port: int, **spec: Any) -> Json:
    """Return a headless Service over the pods with app=NAME."""
    ports = [{"name": "grpc", "port": port, "targetPort": port}]
    return {"metadata": {"name": name}, "spec": {"clusterIP": "None", "selector": {"app": name}, "ports": ports} | spec}


async def start(bed: Bed, namespace: str, name: str, spec: Json, **metadata: Any) -> Json:
    """Create a pod."""
    body = {"metadata": {"name": name, **metadata}, "spec": spec}
    return await bed.raw.create("pods", namespace, body)


async def phase(bed: Bed, namespace: str, name: str, *wanted: str, seconds: float = 20) -> Json:
    """Wait until a pod is in one of the phases, and return it."""

    async def there() -> Json | None:
        found = await bed.raw.get("pods", namespace, name)
        return found if found["status"].get("phase") in wanted else None

    found = await until(there, f"pod {name} is {' or '.join(wanted)}", seconds, poll=0.05)
    assert found
    return found


async def run(bed: Bed, namespace: str, spec: Json, name: str = "one", **metadata: Any) -> tuple[Json, str]:
    """Run a pod to its end; return it and its log."""
    await start(bed, namespace, name, spec, **metadata)
    ended = await phase(bed, namespace, name, "Succeeded", "Failed")
    return ended, await log(bed, namespace, name)


async def log(bed: Bed, namespace: str, name: str, **query: str) -> str:
    """Return a pod's log."""
    return await bed.raw.text(f"/api/v1/namespaces/{namespace}/pods/{name}/log", **query)


async def waiting(bed: Bed, namespace: str, name: str, reason: str, seconds: float = 15) -> Json:
    """Wait until a pod's first container waits for that reason, and return its state."""

    async def there() -> Json | None:
        found = await bed.raw.get("pods", namespace, name)
        states = found["status"].get("containerStatuses", [])
        state: Json = states[0]["state"].get("waiting", {}) if states else {}
        return state if state.get("reason") == reason else None

    found = await until(there, f"pod {name} waits for {reason}", seconds)
    assert found
    return found


def terminated(found: Json) -> Json:
    """Return how a pod's first container ended."""
    ended: Json = found["status"]["containerStatuses"][0]["state"]["terminated"]
    return ended
