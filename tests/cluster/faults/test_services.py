"""Faults of the services and of the API server."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING

import pytest

from tests.cluster.faults.faulty import LONG, OUTAGE, QUICK, state

if TYPE_CHECKING:
    from tests.cluster.faults.faulty import Faulty

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.faults,
    pytest.mark.asyncio(loop_scope="package"),
    pytest.mark.timeout(400),
]


async def kill_training(faulty: Faulty) -> None:
    """kill -9 every replica of the training service; the kubelet starts them again."""
    for pod in await faulty.release.pods("training"):
        os.kill(await faulty.release.pid(pod), signal.SIGKILL)


async def test_training_killed_before_its_job_is_made(faulty: Faulty) -> None:
    """The API server is away when the run is created, and the service dies with the Job still to be made."""
    await faulty.release.until_ready()
    await faulty.warm()
    pids = [await faulty.release.pid(pod) for pod in await faulty.release.pods("training")]
    faulty.bed.control.kill("kube-apiserver")
    name = await faulty.create(QUICK)
    await asyncio.sleep(1.5)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    async with faulty.census(name) as most:
        run = await faulty.settled(name, seconds=240 + OUTAGE)
    await faulty.release.until_ready()

    assert len(run.attempts) <= 2  # nodes that were silent with the API server may be evicted from
    assert most == [1]


@pytest.mark.parametrize("milliseconds", [0, 80, 320])
async def test_training_killed_while_its_job_is_made(faulty: Faulty, milliseconds: int) -> None:
    """At whatever moment between the run's creation and the Job's: one Job comes of it."""
    name = await faulty.create(QUICK)
    await asyncio.sleep(milliseconds / 1000)
    await kill_training(faulty)
    async with faulty.census(name) as most:
        await faulty.steps(name, 1, seconds=90)
        jobs = await faulty.jobs(name)
        run = await faulty.settled(name)
    await faulty.release.until_ready("training")

    assert len(jobs) == 1
    assert len(run.attempts) == 1
    assert most == [1]


async def test_training_killed_while_the_run_trains(faulty: Faulty) -> None:
    """The trainer goes on without it, and its reports arrive when it is back."""
    name = await faulty.create(LONG)
    async with faulty.census(name) as most:
        await faulty.steps(name, 5)
        await kill_training(faulty)
        run = await faulty.settled(name)
    await faulty.release.until_ready("training")

    assert len(run.attempts) == 1
    assert most == [1]


async def test_an_api_server_that_is_down_does_not_stop_a_run(faulty: Faulty) -> None:
    """The trainer and its reports need it not."""
    name = await faulty.create(LONG)
    async with faulty.census(name) as most:
        await faulty.steps(name, 5)
        before = (await faulty.get(name)).last_metrics.step
        faulty.bed.control.kill("kube-apiserver")
        await asyncio.sleep(OUTAGE / 2)
        during = (await faulty.get(name)).last_metrics.step
        run = await faulty.settled(name, seconds=240 + OUTAGE)
    await faulty.release.until_ready()

    assert during > before
    assert len(run.attempts) <= 2  # nodes that were silent with the API server may be evicted from
    assert most == [1]


async def test_a_run_created_without_an_api_server_waits_and_says_so(faulty: Faulty) -> None:
    """It starts when the API server is back."""
    await faulty.release.until_ready()
    await faulty.warm()
    faulty.bed.control.kill("kube-apiserver")
    name = await faulty.create(QUICK)
    async with faulty.census(name) as most:
        run = await faulty.settled(name, seconds=240 + OUTAGE)
    await faulty.release.until_ready()

    assert len(run.attempts) <= 2  # nodes that were silent with the API server may be evicted from
    assert most == [1]


async def test_a_replica_that_was_paused_does_no_harm_when_it_wakes(faulty: Faulty) -> None:
    """SIGSTOP of one of two replicas while the other launches, retries and ends runs."""
    paused, _ = await faulty.release.pods("training")
    pid = await faulty.release.pid(paused)
    first = await faulty.create({**QUICK, "crash_at": 25})
    async with faulty.census(first) as most:
        os.kill(pid, signal.SIGSTOP)
        try:
            second = await faulty.create(QUICK)
            await asyncio.sleep(OUTAGE)
        finally:
            os.kill(pid, signal.SIGCONT)
        runs = [await faulty.settled(first), await faulty.settled(second)]
    await faulty.release.until_ready("training")

    assert [state(run) for run in runs] == ["SUCCEEDED", "SUCCEEDED"]
    assert [len(run.attempts) for run in runs] == [2, 1]
    assert most == [1]
