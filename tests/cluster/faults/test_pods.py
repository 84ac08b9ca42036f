"""Faults of pods, and of what they ask for."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING

import pytest

from tests.cluster.bed.waits import until
from tests.cluster.faults.faulty import LONG, QUICK, state, trainers, waiting
from tests.cluster.release.values import TAG

if TYPE_CHECKING:
    from tests.cluster.faults.faulty import Faulty

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.faults,
    pytest.mark.asyncio(loop_scope="package"),
    pytest.mark.timeout(400),
]


async def test_a_run_without_faults_is_one_job_and_one_attempt(faulty: Faulty) -> None:
    """And leaves nothing behind."""
    name = await faulty.create(QUICK)
    async with faulty.census(name) as most:
        await faulty.steps(name, 5)
        jobs = await faulty.jobs(name)
        run = await faulty.settled(name)

    assert len(jobs) == 1
    assert len(run.attempts) == 1
    assert most == [1]


async def test_a_killed_trainer_goes_on_from_its_checkpoint(faulty: Faulty) -> None:
    """kill -9 of the process: the same Job starts another pod."""
    name = await faulty.create(QUICK)
    async with faulty.census(name) as most:
        await faulty.steps(name, 15)
        os.kill(trainers(name)[0], signal.SIGKILL)
        run = await faulty.settled(name)
    logs = await faulty.release.ftf("logs", name.rpartition("/")[2])

    assert [a.from_step >= 10 for a in run.attempts] == [False, True]
    assert most == [1]
    assert "attempt 1" in logs
    assert "attempt 2" in logs


async def test_a_deleted_pod_saves_and_goes_on(faulty: Faulty) -> None:
    """kubectl delete pod: SIGTERM, a checkpoint, and the next pod loses no step."""
    name = await faulty.create(QUICK)
    await faulty.steps(name, 13)
    pod = (await faulty.pod(name))["metadata"]["name"]
    await faulty.bed.raw.delete("pods", faulty.namespace, pod)
    run = await faulty.settled(name)

    assert len(run.attempts) == 2
    assert run.attempts[1].from_step >= 13


async def test_an_oom_killed_pod_is_followed_by_another_and_says_why(faulty: Faulty) -> None:
    """The reason is on the run while the next pod is awaited."""
    name = await faulty.create(QUICK)
    await faulty.steps(name, 15)
    pod = await faulty.pod(name)
    await faulty.release.node.out_of_memory(pod["metadata"]["uid"])
    waited = await faulty.waits(name, "OOM_KILLED")
    run = await faulty.settled(name)

    assert "memory" in waited.work.waiting.message
    assert len(run.attempts) == 2


async def test_a_trainer_that_is_always_oom_killed_fails_with_the_remedy(faulty: Faulty) -> None:
    """After the Job's own repeats."""
    name = await faulty.create({**QUICK, "hang_at": 3, "faulty": 9, "save_steps": 1000})

    async def kill_each() -> None:
        killed: set[str] = set()
        while True:
            for pod in await faulty.pods(name):
                uid = pod["metadata"]["uid"]
                if pod["status"].get("phase") == "Running" and uid not in killed and trainers(name):
                    await asyncio.sleep(1)
                    await faulty.release.node.out_of_memory(uid)
                    killed.add(uid)
            await asyncio.sleep(0.2)

    task = asyncio.create_task(kill_each())
    try:
        run = await faulty.settled(name, "FAILED", seconds=150)
    finally:
        task.cancel()

    assert "OOM_KILLED" in str(run.work.error.details)
    assert "memory" in run.work.error.message


async def test_an_evicted_pod_goes_on_elsewhere(faulty: Faulty) -> None:
    """The eviction API, as a drain of the node uses it; it does not count as a failure."""
    name = await faulty.create(QUICK)
    await faulty.steps(name, 12)
    pod = (await faulty.pod(name))["metadata"]["name"]
    eviction = {
        "apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": faulty.namespace},
    }  # fmt: skip
    await faulty.bed.raw.create("pods", faulty.namespace, eviction, "eviction", pod)
    run = await faulty.settled(name)

    assert len(run.attempts) == 2
    assert run.attempts[1].from_step >= 12


async def test_an_image_that_cannot_be_pulled_is_told_and_waited_for(faulty: Faulty) -> None:
    """Within 30 s, with the image's name; when it is there the run goes on."""
    image = f"finetuneflow/trainer:{TAG}"
    faulty.bed.cluster.forget_image(image)
    try:
        name = await faulty.create(QUICK)
        waited = await faulty.waits(name, "IMAGE_PULL")
    finally:
        from tests.cluster.release.install import images

        images(faulty.bed)
    run = await faulty.settled(name)

    assert image in waited.work.waiting.message
    assert len(run.attempts) == 1


async def test_99_gpus_are_waited_for_and_can_be_cancelled(faulty: Faulty) -> None:
    """Within 30 s the run says which resource is missing."""
    name = await faulty.create(QUICK, gpus=99, memory="64Gi")
    waited = await faulty.waits(name, "UNSCHEDULABLE")
    await faulty.cancel(name)
    run = await faulty.settled(name, "CANCELLED")

    assert "nvidia.com/gpu" in waited.work.waiting.message
    assert state(waited) == "QUEUED"
    assert waiting(run) == "UNSPECIFIED"


async def test_a_job_deleted_by_hand_is_made_again(faulty: Faulty) -> None:
    """The run goes on from its checkpoint, under another Job."""
    name = await faulty.create(QUICK)
    async with faulty.census(name) as most:
        await faulty.steps(name, 15)
        job = (await faulty.jobs(name))[0]["metadata"]["name"]
        await faulty.bed.raw.delete("batch/v1/jobs", faulty.namespace, job, propagationPolicy="Background")
        await until(lambda: another(faulty, name, job), "another Job")
        run = await faulty.settled(name)

    assert len(run.attempts) == 2
    assert most[0] <= 2  # the first saves its checkpoint while the second is made, and is fenced


async def another(faulty: Faulty, name: str, job: str) -> bool:
    """Whether a run has a Job of another name."""
    return any(found["metadata"]["name"] != job for found in await faulty.jobs(name))


async def test_a_deadline_ends_a_run_for_good(faulty: Faulty) -> None:
    """With the reason; its checkpoints stay."""
    name = await faulty.create(LONG, active_deadline_seconds=6)
    run = await faulty.settled(name, "FAILED")

    assert "DEADLINE_EXCEEDED" in str(run.work.error.details)
    assert run.checkpoints
