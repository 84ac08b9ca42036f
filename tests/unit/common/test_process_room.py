"""Which Jobs as processes wait for room, for how long they may run, and what they may ask for."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable

import pytest

from services.common.errors import InvalidArgument
from services.common.jobs.port import JobSpec, Resources
from services.common.jobs.process import ProcessJobs
from tests.unit.common.test_process_jobs import SLEEP, ended, first_line, until


async def test_several_run_at_once_where_asked_for(open_jobs: Callable[..., ProcessJobs]) -> None:
    """No more than `parallel`."""
    jobs = open_jobs(parallel=2)
    for n in range(3):
        await jobs.ensure(JobSpec(f"run-{n}", (SLEEP,)))

    assert [status.state for status in await jobs.list()] == ["RUNNING", "RUNNING", "PENDING"]


async def test_jobs_wait_for_room_in_the_order_they_were_asked_for(open_jobs: Callable[..., ProcessJobs]) -> None:
    """And start by themselves when there is room, though nobody asks."""
    jobs = open_jobs()
    await jobs.ensure(JobSpec("z-1", (SLEEP,)))
    for name in ("y-1", "x-1", "w-1"):
        await jobs.ensure(JobSpec(name, ("import time; print(time.time_ns())",)))
    await first_line(jobs, "z-1")
    waiting = [(s.name, s.state) for s in await jobs.list()]
    await jobs.stop("z-1", 10)
    times = [int(await first_line(jobs, name)) for name in ("y-1", "x-1", "w-1")]

    assert waiting == [("z-1", "RUNNING"), ("y-1", "PENDING"), ("x-1", "PENDING"), ("w-1", "PENDING")]
    assert times == sorted(times)


async def test_a_waiting_job_says_how_many_come_before_it(open_jobs: Callable[..., ProcessJobs]) -> None:
    """And listeners hear when one starts and when it ends, without asking."""
    jobs = open_jobs()
    changes: list[float] = []
    jobs.listen(lambda: changes.append(time.monotonic()))
    for name in ("a-1", "b-1", "c-1"):
        await jobs.ensure(JobSpec(name, (SLEEP,)))
    waiting = [status.waiting for status in await jobs.list()]
    told = len(changes)
    os.kill(int((await first_line(jobs, "a-1")).split()[0]), signal.SIGKILL)
    await until(lambda: len(changes) > told)

    assert [w and (w.reason, w.message[:21]) for w in waiting] == [
        None,
        ("ROOM", "1 Job comes before it"),
        ("ROOM", "2 Jobs come before it"),
    ]
    assert told


SAVING = """
import signal, sys, time
def save(*_):
    time.sleep(0.3)
    print("saved"); sys.exit(143)
signal.signal(signal.SIGTERM, save)
print("up"); time.sleep(300)
"""


async def test_a_job_that_runs_too_long_is_asked_to_save(open_jobs: Callable[..., ProcessJobs]) -> None:
    """It ends with the reason, and not before its time."""
    jobs = open_jobs()
    began = time.monotonic()
    await jobs.ensure(JobSpec("a-1", (SAVING,), resources=Resources(active_deadline_seconds=1)))
    code = await ended(jobs, "a-1")
    status = await jobs.get("a-1")

    assert time.monotonic() - began >= 1
    assert (code, status and status.reason) == (143, "DEADLINE_EXCEEDED")
    assert [line async for line in jobs.logs("a-1")] == ["up", "saved"]


async def test_the_deadline_is_kept_over_a_restart_of_the_runner(open_jobs: Callable[..., ProcessJobs]) -> None:
    """It counts from the start of the Job, whoever looks; a Job that was asked to save is not asked twice."""
    first = open_jobs()
    await first.ensure(JobSpec("a-1", (SAVING,), resources=Resources(active_deadline_seconds=1)))
    await first_line(first, "a-1")
    await first.close()
    await asyncio.sleep(1)
    second = open_jobs()
    await second.list()
    await second.close()
    third = open_jobs()
    code = await ended(third, "a-1")
    status = await third.get("a-1")

    assert (code, status and status.reason) == (143, "DEADLINE_EXCEEDED")
    assert [line async for line in third.logs("a-1")] == ["up", "saved"]


@pytest.mark.parametrize(
    "bad", [Resources(nodes=2), Resources(cpu="much"), Resources(memory="0"), Resources(shm_size="-1Gi")], ids=str
)
async def test_what_no_machine_can_give_is_refused(bad: Resources, open_jobs: Callable[..., ProcessJobs]) -> None:
    """Two nodes, and quantities that are none."""
    with pytest.raises(InvalidArgument):
        open_jobs().check(bad)


async def test_what_means_nothing_on_one_machine_is_taken(open_jobs: Callable[..., ProcessJobs]) -> None:
    """Queues and priorities belong to a cluster."""
    open_jobs().check(Resources(gpus=0, cpu="500m", memory="1.5Gi", shm_size="1e9", queue="team", priority_class="low"))
