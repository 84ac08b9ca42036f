"""The place of a Job that waits: Kueue's word for it, or the order in which the scheduler takes our own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from services.common.jobs.port import Waiting
from services.common.kube.api import KubeApi
from services.common.kube.places import Place, Places, line
from tests.fakes.kubernetes import FakeKubernetes, serving
from tests.unit.kube.test_status import condition
from tests.unit.kube.test_status import job as plain_job

Json = dict[str, Any]
QUEUED = Waiting("QUEUE", "The queue team has not admitted it.")
GROUP = "visibility.kueue.x-k8s.io"
PENDING = f"/apis/{GROUP}/v1beta1/namespaces/ns/localqueues/team"


def job(name: str, at: int = 0, queue: str = "", *conditions: Json, **spec: Any) -> Json:
    """A Job that was made at a second of a minute."""
    made = plain_job(*conditions, **spec)
    stamp = f"2026-01-01T00:00:{at:02d}Z"
    made["metadata"] |= {"name": name, "uid": f"uid-{name}", "creationTimestamp": stamp}
    made["metadata"]["labels"] = {"kueue.x-k8s.io/queue-name": queue} if queue else {}
    return made


def pod(of: str, priority: int = 0, reason: str = "Unschedulable") -> Json:
    """A pod for which there is no node."""
    return {
        "metadata": {"name": f"{of}-x", "ownerReferences": [{"uid": f"uid-{of}"}]},
        "spec": {"priority": priority},
        "status": {"phase": "Pending", "conditions": [condition("PodScheduled", reason, status="False")]},
    }


def pending(name: str, shared: int, own: int) -> Json:
    """A Workload of a Job, as Kueue lists it."""
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": f"uid-{name}"}
    return {
        "metadata": {"name": f"job-{name}-1a2b", "ownerReferences": [owner]},
        "positionInClusterQueue": shared,
        "positionInLocalQueue": own,
    }


@pytest.fixture
async def kueue() -> AsyncIterator[tuple[FakeKubernetes, KubeApi]]:
    """A cluster with Kueue's visibility API, and two Jobs in its queue."""
    fake = FakeKubernetes()
    fake.put("/apis", GROUP, preferredVersion={"groupVersion": f"{GROUP}/v1beta1"})
    fake.put(PENDING, "pendingworkloads", items=[pending("a", 0, 0), pending("b", 7, 1)])
    async with serving(fake) as client:
        yield fake, KubeApi(client, "ns")


def test_what_no_node_has_room_for_stands_in_line_by_priority_and_age() -> None:
    """That of the pods, as the cluster's classes set it; what runs, is over or waits otherwise has no place."""
    jobs = [job("a", 3), job("b", 2), job("c", 9), job("d", 1), job("e", 0), job("f", 0, "", condition("Failed"))]
    pods = [pod("a"), pod("b"), pod("c", 100), pod("d", reason="SchedulingGated"), pod("f"), pod("other")]

    assert line(jobs, pods) == {"c": Place(1), "b": Place(2), "a": Place(3)}


async def test_a_job_in_a_queue_has_the_place_that_kueue_tells(kueue: tuple[FakeKubernetes, KubeApi]) -> None:
    """Among all that share its quota; what the queue does not list has none."""
    _, api = kueue
    jobs = [job("a", queue="team", suspend=True), job("b", queue="team", suspend=True)]
    late, on = job("c", queue="team", suspend=True), job("d", queue="team")
    places = Places(api)
    new = await places.refresh([*jobs, late, on])
    again = await places.refresh([*jobs, late, on])
    found = places.known([*jobs, late, on], [])

    assert (new, again) == (True, False)
    assert sorted(found) == ["a", "b"]
    assert found["a"].told(QUEUED) == Waiting("QUEUE", f"{QUEUED.message} It is the next.", 1)
    assert found["b"].told(QUEUED).position == 8
    assert "7 come before it, 1 of them in this queue." in found["b"].told(QUEUED).message
    assert found["b"].told(Waiting("STARTING", "…")) == Waiting("STARTING", "…")


@pytest.mark.parametrize(("status", "words"), [(0, "has no visibility API"), (403, "does not answer this service")])
async def test_a_place_that_kueue_does_not_tell_is_said_to_be_unknown(
    kueue: tuple[FakeKubernetes, KubeApi], status: int, words: str
) -> None:
    """It is not installed, or this service may not ask; it is asked once in a while."""
    fake, api = kueue
    if status:
        fake.troubles.append((status, {}, "forbidden"))
    else:
        fake.drop("/apis", GROUP)
    waits = job("a", queue="team", suspend=True)
    places = Places(api)
    await places.refresh([waits])
    await places.refresh([waits])
    told = places.known([waits], [])["a"].told(QUEUED)

    assert (told.position, words in told.message) == (0, True)
    assert len(fake.requests) == 1
