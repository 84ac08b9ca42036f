"""The bed itself, on the real control plane: pods are processes, and their life is the cluster's."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.cluster.bed.cluster import Bed
from tests.cluster.bed.waits import until

pytestmark = pytest.mark.cluster

Json = dict[str, Any]
RESTRICTED: Json = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "runAsUser": 65532,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def pod_spec(*command: str, **more: object) -> Json:
    """Return a pod of one container that runs a command."""
    container = {"name": "main", "image": "any", "command": list(command), "securityContext": RESTRICTED}
    spec = {"restartPolicy": "Never", "containers": [container | more.pop("container", {})]}  # type: ignore[operator]  # Json
    return spec | more


def job(name: str, spec: Json, **more: object) -> Json:
    """Return a Job with that pod."""
    return {"metadata": {"name": name}, "spec": {"backoffLimit": 0, "template": {"spec": spec}} | more}


async def pod_of(bed: Bed, namespace: str, job: str) -> Json:
    """Return the newest pod of a Job, {} if it has none."""
    pods = await bed.raw.list("pods", namespace, labelSelector=f"job-name={job}")
    return max(pods, key=lambda pod: pod["metadata"]["creationTimestamp"], default={})


async def test_a_job_becomes_a_process_and_completes(bed: Bed) -> None:
    """From the Job to the process in well under two seconds, and to Complete when it ends."""
    bed.image("any")
    async with bed.kubelet():
        space = await bed.namespace()
        begun = time.monotonic()
        await bed.raw.create("batch/v1/jobs", space, job("hello", pod_spec("sh", "-c", "echo hello; echo there")))

        async def logs() -> str:
            pod = await pod_of(bed, space, "hello")
            return pod and await bed.raw.text(f"/api/v1/namespaces/{space}/pods/{pod['metadata']['name']}/log")

        text = await until(logs, "the process wrote", 20, poll=0.02)
        print(f"Job create → first line read: {time.monotonic() - begun:.2f} s; bed up in {bed.cluster.seconds:.1f} s")

        async def complete() -> bool:
            found = await bed.raw.get("batch/v1/jobs", space, "hello")
            return found["status"].get("succeeded") == 1

        assert text == "hello\nthere\n"
        assert await until(complete, "the Job is complete", 15)
