"""Jobs with a queue: with Kueue they wait for it, without it they run."""

from __future__ import annotations

import pytest

from services.common.jobs.port import JobStatus, Resources
from tests.cluster.bed.cluster import Bed
from tests.cluster.bed.waits import until
from tests.cluster.runners import Room, ended, reach, spec, waits_for
from tests.cluster.test_runner import space

__all__ = ["space"]

pytestmark = pytest.mark.cluster

KUEUE = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "localqueues.kueue.x-k8s.io", "annotations": {"api-approved.kubernetes.io": "unapproved"}},
    "spec": {
        "group": "kueue.x-k8s.io",
        "scope": "Namespaced",
        "names": {"plural": "localqueues", "singular": "localqueue", "kind": "LocalQueue"},
        "versions": [
            {
                "name": "v1beta1",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
            }
        ],
    },
}


async def test_with_kueue_a_job_with_a_queue_waits_for_it(bed: Bed, space: Room) -> None:
    """It is made suspended; whoever admits it lets it run. One that is stopped before never does."""
    await bed.raw.call("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", KUEUE)
    try:
        async with bed.kubelet():
            await until(lambda: _served(bed), "the group is served")
            jobs = await space.runner()
            for name in ("run-a-1", "run-b-1"):
                await jobs.ensure(spec(name, "print('done')", resources=Resources(queue="team")))
            status = await reach(jobs, "run-a-1", lambda status: "place is not known" in told(status))
            labels = (await space.job("run-a-1"))["metadata"]["labels"]
            await bed.raw.patch("batch/v1/jobs", space.namespace, "run-a-1", {"spec": {"suspend": False}})
            done = await reach(jobs, "run-a-1", ended)
            await jobs.stop("run-b-1", 1)
            stopped = await reach(jobs, "run-b-1", ended)
            await bed.raw.patch("batch/v1/jobs", space.namespace, "run-b-1", {"spec": {"suspend": False}})
            await until(lambda: _failed(space, "run-b-1"), "Kubernetes has done with it")
            late = await jobs.get("run-b-1")
            pods = await space.pods("run-b-1")
    finally:
        path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/localqueues.kueue.x-k8s.io"
        await bed.raw.call("DELETE", path)

    assert waits_for("QUEUE")(status)
    assert "team" in told(status)
    assert "no visibility API" in told(status)
    assert labels["kueue.x-k8s.io/queue-name"] == "team"
    assert done.state == "SUCCEEDED"
    assert (stopped.state, stopped.exit_code) == ("FAILED", 143)
    assert late == stopped
    assert pods == []


async def test_without_kueue_a_job_with_a_queue_simply_runs(bed: Bed, space: Room) -> None:
    """The label is there all the same."""
    async with bed.kubelet():
        jobs = await space.runner()
        await jobs.ensure(spec("run-a-1", "print('done')", resources=Resources(queue="team")))
        status = await reach(jobs, "run-a-1", ended)
        labels = (await space.job("run-a-1"))["metadata"]["labels"]

    assert status.state == "SUCCEEDED"
    assert labels["kueue.x-k8s.io/queue-name"] == "team"


def told(status: JobStatus) -> str:
    """Return why a Job waits, in words."""
    return status.waiting.message if status.waiting else ""


async def _failed(space: Room, name: str) -> bool:
    conditions = (await space.job(name))["status"].get("conditions", [])
    return any(c["type"] == "Failed" and c["status"] == "True" for c in conditions)


async def _served(bed: Bed) -> bool:
    return bool(await bed.raw.call("GET", "/apis/kueue.x-k8s.io"))
