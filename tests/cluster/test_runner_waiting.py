"""Why a Job of a real cluster does not run, or did not end well: each reason within 30 seconds."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from services.common.errors import NotReady
from services.common.jobs.port import Resources
from services.common.kube.jobs import KubernetesJobs
from services.common.kube.template import Priority, SecretKey
from tests.cluster.bed.cluster import Bed
from tests.cluster.bed.waits import until
from tests.cluster.runners import Room, ended, log, reach, room, running, spec, waits_for

pytestmark = pytest.mark.cluster

FOREVER = "import time; print('up'); time.sleep(300)"


@pytest.fixture
async def space(bed: Bed, tmp_path: Path) -> AsyncIterator[Room]:
    """A namespace for Jobs."""
    async with room(bed, tmp_path) as found:
        yield found


async def test_what_no_node_has_is_named(bed: Bed, space: Room) -> None:
    """With the resource that is missing and the remedy; it is not yet asked for by the scheduler's words alone."""
    async with bed.kubelet(gpus=2):
        jobs = await space.runner()
        await jobs.ensure(spec("run-a-1", FOREVER, resources=Resources(gpus=99)))
        status = await reach(jobs, "run-a-1", waits_for("UNSCHEDULABLE"))

    assert status.waiting is not None
    assert "enough nvidia.com/gpu free" in status.waiting.message
    assert status.waiting.message.endswith("add nodes.")


async def test_a_gpu_product_that_no_node_has_leaves_a_job_waiting(bed: Bed, space: Room) -> None:
    """One that a node has runs, through the taint of nodes with GPUs."""
    async with bed.kubelet(gpus=2, gpu_product="NVIDIA-L4"):
        jobs = await space.runner()
        await jobs.ensure(spec("run-a-1", FOREVER, resources=Resources(gpus=1, gpu_product="NVIDIA-H100")))
        await jobs.ensure(spec("run-b-1", FOREVER, resources=Resources(gpus=1, gpu_product="NVIDIA-L4")))
        status = await reach(jobs, "run-a-1", waits_for("UNSCHEDULABLE"))
        await reach(jobs, "run-b-1", running)

    assert status.waiting is not None
    assert "node affinity/selector" in status.waiting.message


async def test_an_image_that_cannot_be_pulled_is_named(bed: Bed, space: Room) -> None:
    """The Job waits; it runs when the image is there."""
    async with bed.kubelet():
        jobs = await space.runner(image="finetuneflow/nowhere:2")
        await jobs.ensure(spec("run-a-1", FOREVER))
        status = await reach(jobs, "run-a-1", waits_for("IMAGE_PULL"))

    assert status.waiting is not None
    assert "finetuneflow/nowhere:2" in status.waiting.message


async def test_a_quota_that_is_used_up_is_named(bed: Bed, space: Room) -> None:
    """Though there is no pod to look at."""
    quota = {"metadata": {"name": "few"}, "spec": {"hard": {"pods": "0"}}}
    await bed.raw.create("resourcequotas", space.namespace, quota)
    jobs = await space.runner()
    await jobs.ensure(spec("run-a-1", FOREVER))
    status = await reach(jobs, "run-a-1", waits_for("QUOTA"))

    assert status.waiting is not None
    assert "exceeded quota: few" in status.waiting.message


async def test_an_admission_rule_that_refuses_a_pod_is_named(bed: Bed, space: Room) -> None:
    """Here one that wants a ServiceAccount which is not there."""
    jobs = await space.runner(service_account_name="nobody")
    await jobs.ensure(spec("run-a-1", FOREVER))
    status = await reach(jobs, "run-a-1", waits_for("ADMISSION"))

    assert status.waiting is not None
    assert 'serviceaccount "nobody" not found' in status.waiting.message


async def test_a_claim_that_is_not_there_is_named(bed: Bed, space: Room) -> None:
    """Before the pod is on a node."""
    async with bed.kubelet():
        jobs = await space.runner(models_claim="base-models")
        await jobs.ensure(spec("run-a-1", FOREVER))
        status = await reach(jobs, "run-a-1", waits_for("VOLUME"))

    assert status.waiting is not None
    assert "base-models" in status.waiting.message


async def test_a_secret_that_is_not_there_is_named(bed: Bed, space: Room) -> None:
    """The hub's token, which the chart's values refer to."""
    async with bed.kubelet():
        jobs = await space.runner(env_secrets={"HF_TOKEN": SecretKey("hub", "token")})
        await jobs.ensure(spec("run-a-1", FOREVER))
        status = await reach(jobs, "run-a-1", waits_for("CONFIGURATION"))
        await bed.raw.create("secrets", space.namespace, {"metadata": {"name": "hub"}, "stringData": {"token": "t"}})
        await reach(jobs, "run-a-1", running)

    assert status.waiting is not None
    assert "hub" in status.waiting.message


async def test_memory_that_ran_out_is_told_between_pods_and_at_the_end(bed: Bed, space: Room) -> None:
    """As what the Job waits after, then as why it failed."""
    async with bed.kubelet() as node:
        jobs = await space.runner(backoff_limit=1)
        await jobs.ensure(spec("run-a-1", FOREVER))
        await reach(jobs, "run-a-1", running)
        await node.out_of_memory((await space.pods("run-a-1"))[-1]["metadata"]["uid"])
        between = await reach(jobs, "run-a-1", waits_for("OOM_KILLED"))
        await reach(jobs, "run-a-1", running)
        await node.out_of_memory((await space.pods("run-a-1"))[-1]["metadata"]["uid"])
        status = await reach(jobs, "run-a-1", ended)

    assert between.waiting is not None
    assert "Ask for more memory" in between.waiting.message
    assert (status.state, status.exit_code, status.reason) == ("FAILED", 137, "OOM_KILLED")


async def test_a_job_that_runs_too_long_is_ended(bed: Bed, space: Room) -> None:
    """By its own deadline before the template's."""
    async with bed.kubelet():
        jobs = await space.runner(active_deadline_seconds=300, termination_grace_period_seconds=1)
        await jobs.ensure(spec("run-a-1", FOREVER, resources=Resources(active_deadline_seconds=2)))
        status = await reach(jobs, "run-a-1", ended)

    assert (status.state, status.reason) == ("FAILED", "DEADLINE_EXCEEDED")
    assert "2 seconds" in status.message


async def test_an_evicted_pod_is_followed_by_another_and_counts_for_nothing(bed: Bed, space: Room) -> None:
    """By the API or by its node; the backoff limit of 0 is not touched."""
    program = "import os, time; print(os.environ['FTF_POD_UID']); time.sleep(300)"
    async with bed.kubelet() as node:
        jobs = await space.runner(backoff_limit=0, termination_grace_period_seconds=2)
        await jobs.ensure(spec("run-a-1", program))
        first = await _new_pod(jobs, space, [])
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": first["name"]}}
        await bed.raw.create("pods", space.namespace, eviction, "eviction", first["name"])
        second = await _new_pod(jobs, space, [first["uid"]])
        await node.evict(second["uid"])
        await reach(jobs, "run-a-1", waits_for("EVICTED"))
        third = await _new_pod(jobs, space, [first["uid"], second["uid"]])
        await jobs.stop("run-a-1", 1)
        lines = await log(jobs, "run-a-1")

    assert lines == [first["uid"], second["uid"], third["uid"]]


async def _new_pod(jobs: KubernetesJobs, space: Room, before: list[str]) -> dict[str, Any]:
    """Wait for another pod to write its uid, and return its metadata."""

    async def wrote() -> bool:
        return len(await log(jobs, "run-a-1")) > len(before)

    await until(wrote, f"a pod after {before}", 60)
    return next(p["metadata"] for p in await space.pods("run-a-1") if p["metadata"]["uid"] not in before)


async def test_a_node_that_is_lost_ends_its_job(bed: Bed, space: Room) -> None:
    """Its trainer may run on, so the next launch must not wait for it; the Job can be deleted meanwhile."""
    # Of a cluster in which no node answers, Kubernetes evicts nothing.
    full = [{"key": "full", "effect": "NoSchedule"}]
    async with bed.kubelet() as node, bed.kubelet(taints=full):
        jobs = await space.runner(termination_grace_period_seconds=1, node_lost_seconds=2)
        await jobs.ensure(spec("run-a-1", FOREVER))
        await reach(jobs, "run-a-1", running)
        await node.vanish()
        await reach(jobs, "run-a-1", lambda s: waits_for("NODE_LOST")(s) or s.reason == "NODE_LOST")
        status = await reach(jobs, "run-a-1", ended)
        await jobs.delete("run-a-1")
        gone = await jobs.get("run-a-1")
        await node.come_back()

    assert (status.state, status.exit_code, status.reason) == ("FAILED", None, "NODE_LOST")
    assert node.name in status.message
    assert gone is None


async def test_what_the_api_server_refuses_is_said_in_its_words(space: Room) -> None:
    """And never what is secret; nothing is left behind."""
    jobs = await space.runner(env={"GOOD": "1"}, node_selector={"a b": "c"})
    with pytest.raises(NotReady) as caught:
        await jobs.ensure(spec("run-a-1", FOREVER))

    assert caught.value.reason == "JOB_REFUSED"
    assert "nodeSelector" in caught.value.message
    assert "s3cret" not in caught.value.message
    assert await jobs.get("run-a-1") is None


async def test_a_higher_priority_stands_first_in_line(bed: Bed, space: Room) -> None:
    """By the PriorityClass that the settings list for it, as the API server made it a number of the pod's."""
    name = f"urgent-{space.namespace}"
    path = "/apis/scheduling.k8s.io/v1/priorityclasses"
    await bed.raw.call("POST", path, {"metadata": {"name": name}, "value": 1000})
    try:
        async with bed.kubelet():
            jobs = await space.runner(priorities=(Priority(10, "", name),))
            for job, priority in (("run-a-1", 0), ("run-b-1", 9), ("run-c-1", 10)):
                await jobs.ensure(spec(job, "print('never')", resources=Resources(gpus=99), priority=priority))
            for job, place in (("run-c-1", 1), ("run-a-1", 2), ("run-b-1", 3)):
                await reach(jobs, job, lambda s, place=place: bool(s.waiting and s.waiting.position == place))
            pods = [(await space.pods(job))[0]["spec"].get("priorityClassName") for job in ("run-b-1", "run-c-1")]
    finally:
        await bed.raw.call("DELETE", f"{path}/{name}")

    assert pods == [None, name]
