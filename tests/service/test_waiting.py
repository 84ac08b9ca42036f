"""Why a run is not running, and what becomes of Jobs that a cluster takes away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest

from finetuneflow.common.v1 import reasons_pb2, waiting_pb2, work_pb2
from finetuneflow.training.v1 import check_pb2, resources_pb2, run_pb2, training_service_pb2_grpc
from finetuneflow.training.v1 import training_service_pb2 as pb
from services.common.errors import NotReady, Unavailable
from services.common.jobs.port import Waiting
from services.common.jobwork import reconciler
from services.training.compose import compose
from tests.fakes.overlaid_jobs import OverlaidJobs
from tests.fakes.running import refusal, serving
from tests.fakes.upstream import usual
from tests.service.test_training import RUN, at_step, ended, fake_jobs, request, steps

State = work_pb2.WorkState

WARN, IGNORED = check_pb2.Problem.SEVERITY_WARN, reasons_pb2.REASON_PRIORITY_IGNORED


@asynccontextmanager
async def training(state: Path, *, restarts: bool = False, **plan: Any) -> AsyncIterator[tuple[Any, OverlaidJobs]]:
    """The service's stub, and the runner of its Jobs."""
    real = fake_jobs(state, **plan)
    jobs = OverlaidJobs(real, restarts=restarts)
    composes = {"training": compose, **usual().composes()}
    async with serving(state, composes, jobs=jobs) as served, served.channel() as channel:
        yield training_service_pb2_grpc.TrainingServiceStub(channel), jobs
    for job in await real.list():
        await real.stop(job.name, 0)


async def updates(stub: Any, name: str = RUN) -> AsyncIterator[run_pb2.Run]:
    """The run, whenever it changes."""
    async with asyncio.timeout(30):
        async for update in stub.WatchRun(pb.WatchRunRequest(name=name)):
            if update.HasField("run"):
                yield update.run


async def waits(stub: Any, reason: str) -> run_pb2.Run:
    """Watch until the run waits for a reason, or fail."""
    async for run in updates(stub):
        if run.work.waiting.reason == waiting_pb2.WaitingReason.Value("WAITING_REASON_" + reason):
            return run
    raise AssertionError(f"it never waited for {reason}: {run.work}")


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait until something is so, or fail."""
    deadline = time.monotonic() + 15
    while not await condition():
        assert time.monotonic() < deadline, "it did not come true"
        await asyncio.sleep(0.05)


async def is_running(jobs: OverlaidJobs, name: str) -> bool:
    """Whether there is a Job of that name, and it runs."""
    status = await jobs.get(name)
    return status is not None and status.state == "RUNNING"


async def none_left(jobs: OverlaidJobs) -> bool:
    """Whether there is no Job."""
    return not await jobs.list()


async def no_orphans(stub: Any) -> bool:
    """Whether every Job has its run."""
    return not (await stub.ListOrphans(pb.ListOrphansRequest())).orphans


async def job_of(stub: Any, launch: int = 1) -> str:
    run = await stub.GetRun(pb.GetRunRequest(name=RUN))
    return f"run-{run.meta.uid}-{launch}"


async def test_a_run_says_why_its_job_waits_and_since_when(tmp_path: Path) -> None:
    """The reason, the message with the remedy, and a time that stays; all gone once it runs."""
    async with training(tmp_path, steps=3) as (stub, jobs):
        jobs.waiting = Waiting("UNSCHEDULABLE", "No node has 99 nvidia.com/gpu. Ask for less.")
        await stub.CreateRun(request())
        waiting = await waits(stub, "UNSCHEDULABLE")
        jobs.waiting = Waiting("UNSCHEDULABLE", "No node has 98 nvidia.com/gpu. Ask for less.")
        await asyncio.sleep(1)
        later = await stub.GetRun(pb.GetRunRequest(name=RUN))
        await jobs.release()
        run, reports = await ended(stub)

    assert (waiting.work.state, waiting.work.waiting.message[:11]) == (State.WORK_STATE_QUEUED, "No node has")
    assert (later.work.waiting.message[12:14], later.work.waiting.since) == ("98", waiting.work.waiting.since)
    assert (run.work.state, run.work.HasField("waiting")) == (State.WORK_STATE_SUCCEEDED, False)
    assert steps(reports) == [1, 2, 3]


async def test_a_run_behind_another_waits_for_room(tmp_path: Path) -> None:
    """One machine has one place; the run in front of it has no reason to show."""
    async with training(tmp_path, steps=10_000) as (stub, _):
        await stub.CreateRun(request("first"))
        await at_step(stub, 1, "projects/p/runs/first")
        await stub.CreateRun(request())
        behind = await waits(stub, "ROOM")
        first = await stub.GetRun(pb.GetRunRequest(name="projects/p/runs/first"))

    assert behind.work.waiting.message.startswith("1 Job comes before it")
    assert not first.work.HasField("waiting")


async def test_a_run_whose_pod_is_replaced_is_queued_with_the_reason_and_goes_on(tmp_path: Path) -> None:
    """What is heard of its trainer afterwards puts it back to RUNNING."""
    async with training(tmp_path, steps=200, step_seconds=0.05) as (stub, jobs):
        await stub.CreateRun(request())
        await at_step(stub, 2)
        jobs.say(await job_of(stub), state="PENDING", waiting=Waiting("OOM_KILLED", "It took too much. Ask for more."))
        seen: list[tuple[int, int]] = []
        async for run in updates(stub):
            seen.append((run.work.state, run.work.waiting.reason))
            if run.work.waiting.reason:
                jobs.say(await job_of(stub))
            if len(seen) > 1 and run.work.state == State.WORK_STATE_RUNNING:
                break

    assert (State.WORK_STATE_QUEUED, waiting_pb2.WAITING_REASON_OOM_KILLED) in seen
    assert seen[-1] == (State.WORK_STATE_RUNNING, waiting_pb2.WAITING_REASON_UNSPECIFIED)


async def test_a_job_deleted_by_hand_is_made_again(tmp_path: Path) -> None:
    """The next one goes on from the newest checkpoint, and no point is lost."""
    async with training(tmp_path, steps=40, step_seconds=0.03) as (stub, jobs):
        await stub.CreateRun(request())
        await at_step(stub, 7)
        watching = asyncio.create_task(waits(stub, "DELETED"))
        await asyncio.sleep(0.2)
        await jobs.lose(await job_of(stub))
        waiting = await watching
        run, reports = await ended(stub)
        orphans = await stub.ListOrphans(pb.ListOrphansRequest())

    assert "cancel" in waiting.work.waiting.message
    assert run.work.state == State.WORK_STATE_SUCCEEDED
    assert len(run.attempts) == 2
    assert sorted(set(steps(reports))) == list(range(1, 41))
    assert list(orphans.orphans) == []


@pytest.mark.parametrize("reason", ["NODE_LOST", "EVICTED"])
async def test_what_is_not_the_trainers_fault_is_never_counted(reason: str, tmp_path: Path) -> None:
    """However often: the run fails only for failures of its own; the Jobs that were lost are removed."""
    async with training(tmp_path, restarts=True, steps=40, step_seconds=0.1, save_steps=1000) as (stub, jobs):
        await stub.CreateRun(request())
        for launch in range(1, 5):
            await at_step(stub, launch)
            name = await job_of(stub, launch)
            await until(partial(is_running, jobs, name))
            jobs.say(name, state="FAILED", reason=reason, message="Gone. Wait.")
            await waits(stub, reason)
        run, reports = await ended(stub)
        await until(partial(no_orphans, stub))

    assert run.work.state == State.WORK_STATE_SUCCEEDED
    assert sorted(set(steps(reports))) == list(range(1, 41))


@pytest.mark.parametrize("restarts", [False, True])
async def test_a_run_out_of_memory_fails_with_the_reason(restarts: bool, tmp_path: Path) -> None:
    """At once where the runner has repeated it already, otherwise the third time in a row."""
    async with training(tmp_path, restarts=restarts, steps=10_000, save_steps=100_000) as (stub, jobs):
        await stub.CreateRun(request())
        for launch in range(1, 2 if restarts else 4):
            name = await job_of(stub, launch)
            await until(partial(is_running, jobs, name))
            jobs.say(name, state="FAILED", exit_code=137, reason="OOM_KILLED")
        run, _ = await ended(stub)

    assert run.work.state == State.WORK_STATE_FAILED
    assert b"OOM_KILLED" in run.work.error.details[0].value
    assert "memory" in run.work.error.message


async def test_a_run_that_takes_longer_than_it_may_fails_and_keeps_its_checkpoint(tmp_path: Path) -> None:
    """It is asked to save first; the error says of which step."""
    async with training(tmp_path, steps=10_000, step_seconds=0.05, save_steps=10_000) as (stub, _):
        await stub.CreateRun(request(resources=resources_pb2.Resources(active_deadline_seconds=4)))
        run, _ = await ended(stub)

    assert run.work.state == State.WORK_STATE_FAILED
    assert b"DEADLINE_EXCEEDED" in run.work.error.details[0].value
    assert f"step {run.checkpoints[-1].step}." in run.work.error.message


async def test_a_refusal_ends_the_run_with_its_reason(tmp_path: Path) -> None:
    """It would be refused again."""
    async with training(tmp_path) as (stub, jobs):
        jobs.refusal = NotReady("The namespace does not take it. Ask for less.", reason="JOB_REFUSED")
        await stub.CreateRun(request())
        run, _ = await ended(stub)

    assert (run.work.state, run.work.error.message[:13]) == (State.WORK_STATE_FAILED, "The namespace")
    assert b"JOB_REFUSED" in run.work.error.details[0].value
    assert len(jobs.specs) == 1


async def test_a_cluster_that_is_away_is_a_reason_to_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a while, and only for runs without a trainer; when it is back the run goes on."""
    monkeypatch.setattr(reconciler, "UNREACHABLE_SECONDS", 0.5)
    async with training(tmp_path, steps=3) as (stub, jobs):
        jobs.away = Unavailable("The Kubernetes API does not answer.")
        await stub.CreateRun(request())
        waiting = await waits(stub, "CLUSTER_UNREACHABLE")
        orphans = await refusal(stub.ListOrphans(pb.ListOrphansRequest()))
        jobs.away = None
        run, _ = await ended(stub)

    assert "does not answer" in waiting.work.waiting.message
    assert orphans == (grpc.StatusCode.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE")
    assert run.work.state == State.WORK_STATE_SUCCEEDED


async def test_a_trainer_that_crashed_is_shown_waiting(tmp_path: Path) -> None:
    """With its exit code, and how often it has happened."""
    async with training(tmp_path, steps=5, exit_at=2, exit_code=7, faulty=1) as (stub, jobs):
        await stub.CreateRun(request())
        await at_step(stub, 1)
        jobs.waiting = Waiting("STARTING", "Its container is being made. Wait.")
        waiting = await waits(stub, "CRASHED")
        await jobs.release()
        run, _ = await ended(stub)

    assert "exited with 7" in waiting.work.waiting.message
    assert "1 of 3" in waiting.work.waiting.message
    assert run.work.state == State.WORK_STATE_SUCCEEDED


async def test_a_run_is_cancelled_while_it_waits(tmp_path: Path) -> None:
    """At once, and its Job is removed without having started."""
    async with training(tmp_path) as (stub, jobs):
        jobs.waiting = Waiting("QUEUE", "The queue has not admitted it. Wait.")
        await stub.CreateRun(request())
        await waits(stub, "QUEUE")
        run = await stub.CancelRun(pb.CancelRunRequest(name=RUN))
        await until(partial(none_left, jobs))

    assert (run.work.state, run.work.HasField("waiting")) == (State.WORK_STATE_CANCELLED, False)


async def test_jobs_of_a_cluster_outlive_the_service(tmp_path: Path) -> None:
    """Only where they would end with the machine are they stopped, to save."""
    async with training(tmp_path, restarts=True, steps=10_000) as (stub, jobs):
        await stub.CreateRun(request())
        await at_step(stub, 1)
        name = await job_of(stub)
    left = await jobs.get(name)

    assert left is not None
    assert left.labels["kind"] == "run"
    assert left.exit_code in (None, -9, 137)


async def test_a_runner_that_takes_no_more_now_may_say_why(tmp_path: Path) -> None:
    """As when the quota of a namespace is used up; the run is not refused, and goes on when there is room."""
    async with training(tmp_path, steps=2) as (stub, jobs):
        jobs.refusal = Unavailable("The quota is used up. Wait.", metadata={"waiting": "QUOTA"})
        await stub.CreateRun(request())
        waiting = await waits(stub, "QUOTA")
        jobs.refusal = None
        run, _ = await ended(stub)

    assert waiting.work.waiting.message == "The quota is used up. Wait."
    assert run.work.state == State.WORK_STATE_SUCCEEDED


async def test_a_priority_that_changes_nothing_is_told_before_the_run(tmp_path: Path) -> None:
    """As in a cluster whose settings list nothing for it; it forbids nothing, and 0 is not worth a word."""
    async with training(tmp_path) as (stub, jobs):
        told = {}
        for heeding, priority in ((True, 5), (False, 5), (False, 0)):
            jobs.heeding = heeding
            wanted = request(priority=priority)
            wanted.validate_only = True
            found = (await stub.CreateRun(wanted)).check.problems
            told[heeding, priority] = [(p.severity, p.field) for p in found if p.reason == IGNORED]

    assert told == {(True, 5): [], (False, 5): [(WARN, "run.priority")], (False, 0): []}
