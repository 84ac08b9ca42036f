"""The bed's nodes: what the real scheduler, admission and controllers make of them."""

from __future__ import annotations

import os
import time
from typing import Any

import pytest

from tests.cluster.bed.api import ApiError
from tests.cluster.bed.cluster import Bed
from tests.cluster.bed.nodes import BedNode
from tests.cluster.bed.waits import until
from tests.cluster.manifests import IMAGE, container, job, phase, pod, start

pytestmark = pytest.mark.cluster

Json = dict[str, Any]
TOLERATION: Json = {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
LOST: list[Json] = [
    {"key": f"node.kubernetes.io/{why}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 1}
    for why in ("not-ready", "unreachable")
]


def gpus(count: int, **spec: Any) -> Json:
    """Return a pod that asks for GPUs."""
    return pod(container("sleep", "60", resources={"limits": {"nvidia.com/gpu": count}}), **spec)


async def unscheduled(bed: Bed, namespace: str, name: str) -> str:
    """Wait until the scheduler says why it takes a pod nowhere, and return that."""

    async def said() -> str:
        found = await bed.raw.get("pods", namespace, name)
        return next(
            (c["message"] for c in found["status"].get("conditions", []) if c.get("reason") == "Unschedulable"), ""
        )

    return await until(said, f"{name} is unschedulable")


async def test_gpus_are_given_out_to_those_who_tolerate_the_taint(bed: Bed, space: str) -> None:
    """As many as there are, by product, and the rest is told what is missing."""
    bed.image(IMAGE)
    async with bed.kubelet(gpus=2, gpu_product="NVIDIA-L4") as node:
        tolerant: Json = {"tolerations": [TOLERATION], "nodeSelector": {"nvidia.com/gpu.product": "NVIDIA-L4"}}
        await start(bed, space, "two", gpus(2, **tolerant))
        found = await phase(bed, space, "two", "Running")
        await start(bed, space, "third", gpus(1, **tolerant))
        await start(bed, space, "intolerant", gpus(1))
        await start(bed, space, "many", gpus(99, **tolerant))
        reasons = {name: await unscheduled(bed, space, name) for name in ("third", "intolerant", "many")}

    assert found["spec"]["nodeName"] == node.name
    assert "Insufficient nvidia.com/gpu" in reasons["third"]
    assert "Insufficient nvidia.com/gpu" in reasons["many"]
    assert "untolerated taint" in reasons["intolerant"]


async def test_the_restricted_standard_refuses_a_pod_that_is_not(bed: Bed, space: str) -> None:
    """Admission is the API server's own."""
    spec = pod({"name": "main", "image": IMAGE, "command": ["true"]})
    with pytest.raises(ApiError, match="violates PodSecurity") as refused:
        await start(bed, space, "bad", spec)

    assert refused.value.code == 403


async def test_an_evicted_pod_of_a_job_is_a_disruption(bed: Bed, space: str, node: BedNode) -> None:
    """By the API and by the kubelet; a Job that ignores disruptions starts the next pod without counting it.

    The Job controller takes ten seconds before it does.
    """
    rule = {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
    template = pod(container("sh", "-c", "trap 'exit 143' TERM; while :; do sleep 0.05; done"))
    body = job("work", template, podFailurePolicy={"rules": [rule]}, podReplacementPolicy="Failed")
    await bed.raw.create("batch/v1/jobs", space, body)

    async def live(without: tuple[str, ...]) -> Json | None:
        pods = await bed.raw.list("pods", space, labelSelector="job-name=work", fieldSelector="status.phase=Running")
        return next((one for one in pods if one["metadata"]["uid"] not in without), None)

    first = await until(lambda: live(()), "the first pod runs")
    assert first
    eviction = {"metadata": {"name": first["metadata"]["name"]}}
    await bed.raw.create("pods", space, eviction, "eviction", first["metadata"]["name"])
    uid = first["metadata"]["uid"]
    second = await until(lambda: live((uid,)), "the second pod runs")
    assert second
    await node.evict(second["metadata"]["uid"])
    ended = await phase(bed, space, second["metadata"]["name"], "Failed")
    conditions = {one["type"]: one.get("reason") for one in ended["status"]["conditions"]}
    found = await bed.raw.get("batch/v1/jobs", space, "work")

    assert (ended["status"]["reason"], conditions["DisruptionTarget"]) == ("Evicted", "TerminationByKubelet")
    assert not found["status"].get("failed")
    assert not [c for c in found["status"].get("conditions", []) if c["type"] == "Failed"]


async def test_a_lost_node_keeps_its_processes_until_it_is_back(bed: Bed, space: str) -> None:
    """The cluster gives its pods up after six seconds and their tolerance; back, the node ends what was deleted."""
    bed.image(IMAGE)
    async with bed.kubelet() as node:
        uid = (await start(bed, space, "one", pod(container("sleep", "600"), tolerations=LOST)))["metadata"]["uid"]
        await phase(bed, space, "one", "Running")
        pid = (await node.pids())[uid]["main"]
        await node.vanish()
        begun = time.monotonic()

        async def terminating() -> bool:
            return "deletionTimestamp" in (await bed.raw.get("pods", space, "one"))["metadata"]

        await until(terminating, "the pod is given up", 40)
        print(f"\nnode lost → its pods are given up: {time.monotonic() - begun:.1f} s")
        os.kill(pid, 0)
        still = await bed.raw.get("pods", space, "one")
        await node.come_back()

        async def gone() -> bool:
            return not await bed.raw.list("pods", space)

        await until(gone, "the pod is gone", 20)
        await until(node.ready, "the node is back", 20)

        assert still["status"]["phase"] == "Running"
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


async def test_a_force_deleted_pod_ends_on_its_node(bed: Bed, space: str, node: BedNode) -> None:
    """Gone from the API at once, and its process with it."""
    uid = (await start(bed, space, "one", pod(container("sleep", "600"))))["metadata"]["uid"]
    await phase(bed, space, "one", "Running")
    await bed.raw.delete("pods", space, "one", gracePeriodSeconds=0)

    async def gone() -> bool:
        return uid not in await node.pids()

    assert await until(gone, "the process is gone")


async def test_the_api_server_goes_away_and_comes_back(bed: Bed, space: str, node: BedNode) -> None:
    """What ran goes on; what ended meanwhile is told afterwards."""
    await start(bed, space, "one", pod(container("sh", "-c", "sleep 2; exit 7")))
    await phase(bed, space, "one", "Running")
    bed.control.kill("kube-apiserver")
    begun = time.monotonic()
    found = await phase(bed, space, "one", "Failed", seconds=bed.control.outage + 30)
    away = time.monotonic() - begun
    print(f"\nAPI server killed → answers again and has the pod's end: {away:.1f} s")

    assert found["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 7
    assert away >= bed.control.outage
