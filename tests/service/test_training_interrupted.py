"""Runs that are cancelled, killed, drained, deleted, or whose service restarts, with real child processes."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import grpc

from finetuneflow.common.v1 import work_pb2, worker_service_pb2_grpc
from finetuneflow.common.v1 import worker_service_pb2 as worker
from finetuneflow.training.v1 import training_service_pb2 as pb
from services.common.auth import Principal, Signer
from services.common.natsserver import NatsServer
from services.common.secretfiles import Secrets
from tests.fakes.running import refusal
from tests.service.test_training import RUN, at_step, ended, request, steps, training


async def test_a_killed_trainer_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    """The points after the checkpoint come again under the next attempt; none is lost, seqs never repeat."""
    async with training(tmp_path, steps=12, save_steps=5, crash_at=8) as (stub, _):
        await stub.CreateRun(request())
        run, reports = await ended(stub)

    assert run.work.state == work_pb2.WORK_STATE_SUCCEEDED
    assert [a.from_step for a in run.attempts] == [0, 5]
    assert steps(reports, 1) == list(range(1, 9))
    assert steps(reports, 2) == list(range(6, 13))
    assert [r.seq for r in reports] == sorted({r.seq for r in reports})


async def test_cancelling_stops_the_trainer(tmp_path: Path) -> None:
    """A running one ends within seconds, one that waits too, an ended one stays as it is."""
    async with training(tmp_path, steps=10_000, step_seconds=0.05) as (stub, _):
        await stub.CreateRun(request("r"))
        await stub.CreateRun(request("waiting"))
        await at_step(stub, 3)
        await stub.CancelRun(pb.CancelRunRequest(name="projects/p/runs/waiting"))
        waiting, _ = await ended(stub, "projects/p/runs/waiting")
        await stub.CancelRun(pb.CancelRunRequest(name=RUN))
        run, _ = await ended(stub)
        again = await stub.CancelRun(pb.CancelRunRequest(name=RUN))

    assert run.work.state == again.work.state == work_pb2.WORK_STATE_CANCELLED
    assert waiting.work.state == work_pb2.WORK_STATE_CANCELLED


async def test_restarting_the_service_neither_stops_the_training_nor_loses_a_point(tmp_path: Path) -> None:
    """The trainer keeps its reports until somebody takes them; the next service finds the Job again."""
    nats = NatsServer(tmp_path / "nats")
    await nats.start()
    try:
        async with training(tmp_path, nats=nats, leave=True, steps=60, step_seconds=0.05) as (stub, served):
            await stub.CreateRun(request())
            await at_step(stub, 5)
            address = served.address
        await asyncio.sleep(0.5)
        async with training(tmp_path, nats=nats, listen=address, steps=60, step_seconds=0.05) as (stub, _):
            run, reports = await ended(stub)
    finally:
        await nats.stop()

    assert run.work.state == work_pb2.WORK_STATE_SUCCEEDED
    assert (len(run.attempts), steps(reports)) == (1, list(range(1, 61)))


async def test_draining_saves_a_checkpoint_and_the_next_service_goes_on(tmp_path: Path) -> None:
    """Ctrl-C costs no step: the trainer saves at SIGTERM, and is launched again without counting as a failure."""
    async with training(tmp_path, steps=60, step_seconds=0.05, save_steps=1000) as (stub, served):
        await stub.CreateRun(request())
        await at_step(stub, 5)
        await served.program.shut_down()
        stopped = await stub.GetRun(pb.GetRunRequest(name=RUN))
    async with training(tmp_path, steps=60, step_seconds=0.01, save_steps=1000) as (stub, _):
        run, reports = await ended(stub)

    assert run.work.state == work_pb2.WORK_STATE_SUCCEEDED
    assert run.attempts[1].from_step == stopped.checkpoints[-1].step
    assert steps(reports) == list(range(1, 61))


async def test_deleting_a_live_run_stops_its_job_and_removes_its_objects(tmp_path: Path) -> None:
    """Nothing is orphaned."""
    async with training(tmp_path, steps=10_000, step_seconds=0.05) as (stub, _):
        await stub.CreateRun(request())
        await at_step(stub, 6)
        await stub.DeleteRun(pb.DeleteRunRequest(name=RUN))
        gone = await refusal(stub.GetRun(pb.GetRunRequest(name=RUN)))
        async with asyncio.timeout(20):
            while any((tmp_path / "jobs" / "jobs").iterdir()) or list((tmp_path / "objects").rglob("*.bin")):  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.1)

    assert gone == (grpc.StatusCode.NOT_FOUND, "NOT_FOUND")


async def test_a_superseded_trainer_is_refused(tmp_path: Path) -> None:
    """After a later BeginAttempt the earlier token opens nothing."""
    async with training(tmp_path, steps=10_000, step_seconds=0.05) as (stub, served):
        await stub.CreateRun(request())
        await at_step(stub, 1)
        signer = Signer(Secrets(tmp_path / "secrets").key("signing.key"))
        async with served.channel(signer.sign(Principal(RUN, "launch", RUN))) as channel:
            begin = worker.BeginAttemptRequest(work=RUN, pod_uid="other")
            begun = await worker_service_pb2_grpc.WorkerServiceStub(channel).BeginAttempt(begin)
        async with served.channel(signer.sign(Principal(RUN, "attempt", RUN, 1))) as channel:
            grant = worker.GrantUploadRequest(work=RUN, filename="x")
            refused = await refusal(worker_service_pb2_grpc.WorkerServiceStub(channel).GrantUpload(grant))

    assert begun.attempt == 2
    assert refused == (grpc.StatusCode.FAILED_PRECONDITION, "SUPERSEDED")


async def test_a_run_whose_processes_were_all_killed_goes_on(tmp_path: Path) -> None:
    """kill -9 of the trainer with its launcher leaves no exit code; the run is launched again."""
    async with training(tmp_path, steps=40, step_seconds=0.05, save_steps=5) as (stub, _):
        await stub.CreateRun(request())
        await at_step(stub, 7)
        (record,) = (tmp_path / "jobs" / "jobs").glob("*/pid")
        os.killpg(int(record.read_text().split()[0]), signal.SIGKILL)
        run, reports = await ended(stub)

    assert run.work.state == work_pb2.WORK_STATE_SUCCEEDED
    assert len(run.attempts) == 2
    assert sorted(set(steps(reports))) == list(range(1, 41))
