"""Runs that pause and go on, over real gRPC, with real child processes that speak the worker contract."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import grpc

from finetuneflow.common.v1 import work_pb2
from finetuneflow.training.v1 import training_service_pb2 as pb
from tests.fakes.running import refusal
from tests.service.test_training import RUN, at_step, ended, request, steps, training

State = work_pb2.WorkState
SLOW: dict[str, Any] = {"steps": 40, "step_seconds": 0.05, "save_steps": 1000}


async def pause(stub: Any, name: str = RUN) -> Any:
    """Pause a run and wait until it is; return it as the call and as the watcher saw it."""
    asked = await stub.PauseRun(pb.PauseRunRequest(name=name))
    return asked, (await ended(stub, name))[0]


async def test_a_paused_run_goes_on_from_the_checkpoint_that_it_saved(tmp_path: Path) -> None:
    """No step is lost or done twice, nothing lives meanwhile, and its log is whole."""
    async with training(tmp_path, **SLOW) as (stub, _):
        await stub.CreateRun(request())
        await at_step(stub, 5)
        asked, paused = await pause(stub)
        again = await stub.PauseRun(pb.PauseRunRequest(name=RUN))
        orphans = (await stub.ListOrphans(pb.ListOrphansRequest())).orphans
        resumed = await stub.ResumeRun(pb.ResumeRunRequest(name=RUN))
        run, reports = await ended(stub)
        log = [line.text async for line in stub.ReadLogs(pb.ReadLogsRequest(name=RUN))]

    saved = paused.checkpoints[-1].step
    assert (asked.work.state, paused.work.state) == (State.WORK_STATE_PAUSING, State.WORK_STATE_PAUSED)
    assert again.work.state == State.WORK_STATE_PAUSED
    assert list(orphans) == []
    assert resumed.work.state == State.WORK_STATE_QUEUED
    assert run.work.state == State.WORK_STATE_SUCCEEDED
    assert [a.from_step for a in run.attempts] == [0, saved]
    assert steps(reports) == list(range(1, 41))
    assert [text for text in log if text.startswith("attempt")] == ["attempt 1", f"attempt 2 from step {saved}"]


async def test_a_run_that_is_being_cancelled_does_not_go_on(tmp_path: Path) -> None:
    """It ends, so that to resume it is refused while it does."""
    async with training(tmp_path, **SLOW) as (stub, _):
        await stub.CreateRun(request())
        await at_step(stub, 5)
        cancelling = await stub.CancelRun(pb.CancelRunRequest(name=RUN))
        code, reason = await refusal(stub.ResumeRun(pb.ResumeRunRequest(name=RUN)))
        run, _ = await ended(stub)

    assert cancelling.work.state == State.WORK_STATE_CANCELLING
    assert (code, reason) == (grpc.StatusCode.FAILED_PRECONDITION, "WORK_ENDED")
    assert run.work.state == State.WORK_STATE_CANCELLED


async def test_a_paused_run_leaves_its_place_to_the_next(tmp_path: Path) -> None:
    """What it held is free, and a run that waits can pause as well."""
    async with training(tmp_path, **SLOW) as (stub, _):
        for run_id in ("r", "next", "last"):
            await stub.CreateRun(request(run_id))
        await at_step(stub, 2)
        _, last = await pause(stub, "projects/p/runs/last")
        await pause(stub)
        after, _ = await ended(stub, "projects/p/runs/next")
        still = [await stub.GetRun(pb.GetRunRequest(name=name)) for name in (RUN, last.name)]
        await stub.ResumeRun(pb.ResumeRunRequest(name=last.name))
        finished, _ = await ended(stub, last.name)

    assert after.work.state == State.WORK_STATE_SUCCEEDED
    assert [run.work.state for run in still] == [State.WORK_STATE_PAUSED] * 2
    assert last.work.attempt == 0
    assert (finished.work.state, len(finished.attempts)) == (State.WORK_STATE_SUCCEEDED, 1)


async def test_a_pause_that_is_taken_back_costs_no_step(tmp_path: Path) -> None:
    """Whatever its trainer has heard of it by then."""
    async with training(tmp_path, **SLOW) as (stub, _):
        await stub.CreateRun(request())
        await at_step(stub, 3)
        await stub.PauseRun(pb.PauseRunRequest(name=RUN))
        taken_back = await stub.ResumeRun(pb.ResumeRunRequest(name=RUN))
        run, reports = await ended(stub)

    assert taken_back.work.state in (State.WORK_STATE_STARTING, State.WORK_STATE_RUNNING)
    assert run.work.state == State.WORK_STATE_SUCCEEDED
    assert steps(reports) == list(range(1, 41))


async def test_a_paused_run_outlives_its_service(tmp_path: Path) -> None:
    """It is paused for the next one too, which can go on with it, cancel it or delete it."""
    async with training(tmp_path, **SLOW) as (stub, _):
        await stub.CreateRun(request())
        await at_step(stub, 3)
        _, paused = await pause(stub)
    async with training(tmp_path, **SLOW) as (stub, _):
        await asyncio.sleep(0.5)
        found = await stub.GetRun(pb.GetRunRequest(name=RUN))
        cancelled = await stub.CancelRun(pb.CancelRunRequest(name=RUN))
        refused = await refusal(stub.ResumeRun(pb.ResumeRunRequest(name=RUN)))
        as_it_is = await stub.PauseRun(pb.PauseRunRequest(name=RUN))

    assert (found.work.state, found.checkpoints) == (State.WORK_STATE_PAUSED, paused.checkpoints)
    assert cancelled.work.state == as_it_is.work.state == State.WORK_STATE_CANCELLED
    assert refused == (grpc.StatusCode.FAILED_PRECONDITION, "WORK_ENDED")


async def test_a_trainer_that_crashes_while_it_pauses_is_not_started_again(tmp_path: Path) -> None:
    """It is paused and says that it has not saved; resumed, it goes on from the checkpoint before."""
    async with training(tmp_path, steps=12, step_seconds=0.05, save_steps=5, hang_at=8, deaf=True) as (stub, _):
        await stub.CreateRun(request())
        await at_step(stub, 8)
        await stub.PauseRun(pb.PauseRunRequest(name=RUN))
        (record,) = (tmp_path / "jobs" / "jobs").glob("*/pid")
        os.killpg(int(record.read_text().split()[0]), signal.SIGKILL)
        paused, _ = await ended(stub)
        await stub.ResumeRun(pb.ResumeRunRequest(name=RUN))
        run, reports = await ended(stub)

    assert paused.work.state == State.WORK_STATE_PAUSED
    assert "was killed before it had saved. Resume it: it goes on from step 5" in paused.work.error.message
    assert run.work.state == State.WORK_STATE_SUCCEEDED
    assert [a.from_step for a in run.attempts] == [0, 5]
    assert steps(reports, 2) == list(range(6, 13))


async def test_a_pause_that_could_not_save_says_so(tmp_path: Path) -> None:
    """The run is PAUSED with what its trainer said, and goes on from what was stored before."""
    async with training(tmp_path, steps=40, step_seconds=0.05, save_steps=5, unsaved=True) as (stub, _):
        await stub.CreateRun(request())
        await at_step(stub, 6)
        _, paused = await pause(stub)
        resumed = await stub.ResumeRun(pb.ResumeRunRequest(name=RUN))
        await stub.CancelRun(pb.CancelRunRequest(name=RUN))

    assert paused.work.state == State.WORK_STATE_PAUSED
    assert paused.work.error.message.startswith("The plan says so.")
    assert paused.checkpoints[-1].step % 5 == 0
    assert not resumed.work.HasField("error")
