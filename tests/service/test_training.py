"""The training service over real gRPC, with real child processes that speak the worker contract."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc

from finetuneflow.common.v1 import work_pb2
from finetuneflow.dataset.v1 import dataset_pb2
from finetuneflow.training.v1 import config_pb2, run_pb2, training_service_pb2_grpc
from finetuneflow.training.v1 import training_service_pb2 as pb
from services.common.jobs.process import ProcessJobs
from services.common.natsserver import NatsServer
from services.training.compose import compose
from tests.fakes.running import Served, refusal, serving
from tests.fakes.upstream import Upstream, usual

PROGRAM = str(Path(__file__).parents[1] / "fakes" / "trainer_program.py")
RUN = "projects/p/runs/r"


def fake_jobs(state: Path, **plan: Any) -> ProcessJobs:
    """Jobs that run the stand-in trainer with a plan."""
    (state / "plan.json").write_text(json.dumps(plan))
    env = {"FAKE_TRAINER_PLAN": str(state / "plan.json"), "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    return ProcessJobs(state / "jobs", env, command=(sys.executable, PROGRAM))


@asynccontextmanager
async def training(
    state: Path,
    upstream: Upstream | None = None,
    *,
    nats: NatsServer | None = None,
    listen: str = "127.0.0.1:0",
    leave: bool = False,
    **plan: Any,
) -> AsyncIterator[tuple[Any, Served]]:
    """The service's stub and server, with the stand-in trainer following a plan; leave its Jobs running at the end."""
    composes = {"training": compose, **(upstream or usual()).composes()}
    jobs = fake_jobs(state, **plan)
    async with (
        serving(state, composes, jobs=jobs, nats=nats, listen=listen) as served,
        served.channel() as channel,
    ):
        yield training_service_pb2_grpc.TrainingServiceStub(channel), served
    if not leave:
        for job in await jobs.list():
            await jobs.stop(job.name, 0)


def request(run_id: str = "r", **fields: Any) -> pb.CreateRunRequest:
    """A good request, but for the fields given."""
    run = run_pb2.Run(**{"dataset": "projects/p/datasets/d", "model": "models/m", **fields})
    return pb.CreateRunRequest(parent="projects/p", run=run, run_id=run_id)


async def ended(stub: Any, name: str = RUN, after_seq: int = 0) -> tuple[run_pb2.Run, list[Any]]:
    """Watch a run to its end; return it and its reports."""
    reports = []
    async with asyncio.timeout(40):
        async for update in stub.WatchRun(pb.WatchRunRequest(name=name, after_seq=after_seq)):
            if update.HasField("report"):
                reports.append(update.report)
            else:
                run = update.run
    return run, reports


async def at_step(stub: Any, step: int, name: str = RUN) -> None:
    """Wait until a run has done some steps."""
    async with asyncio.timeout(30):
        async for update in stub.WatchRun(pb.WatchRunRequest(name=name)):
            if update.HasField("report") and update.report.metrics.step >= step:
                return


def steps(reports: list[Any], attempt: int = 0) -> list[int]:
    """The steps of the points, of one attempt or of all."""
    return [r.metrics.step for r in reports if r.HasField("metrics") and attempt in (0, r.attempt)]


async def test_a_run_trains_and_its_curve_comes_whole_and_in_order(tmp_path: Path) -> None:
    """One Job, every point once, artifacts that can be downloaded, a log."""
    async with training(tmp_path, steps=12) as (stub, _):
        created = await stub.CreateRun(request())
        run, reports = await ended(stub)
        download = pb.DownloadRunArtifactRequest(name=RUN, filename="report.md")
        report = b"".join([part.data async for part in stub.DownloadRunArtifact(download)])
        log = [line async for line in stub.ReadLogs(pb.ReadLogsRequest(name=RUN, follow=True))]

    assert created.work.state == work_pb2.WORK_STATE_QUEUED
    assert run.work.state == work_pb2.WORK_STATE_SUCCEEDED
    assert steps(reports) == list(range(1, 13))
    assert [r.seq for r in reports] == list(range(1, len(reports) + 1))
    assert (run.result.steps, run.last_seq) == (12, len(reports))
    assert report == b"report.md" * 1000
    assert [(line.level, line.text) for line in log] == [("INFO", "attempt 1")]


async def test_defaults_are_filled_in_and_a_validation_records_nothing(tmp_path: Path) -> None:
    """What a run would train with is shown complete."""
    async with training(tmp_path, steps=1) as (stub, _):
        checked = request(config=config_pb2.TrainingConfig(learning_rate=1e-3))
        checked.validate_only = True
        run = await stub.CreateRun(checked)
        listed = await stub.ListRuns(pb.ListRunsRequest(parent="projects/p"))

    assert run.config.learning_rate == 1e-3
    assert (run.config.lora.r, run.config.max_length, run.config.assistant_only_loss) == (8, 512, True)
    assert list(listed.runs) == []


async def test_the_same_request_id_starts_one_run(tmp_path: Path) -> None:
    """A client that lost the answer repeats the call, whatever has changed since."""
    upstream = usual()
    async with training(tmp_path, upstream, steps=1) as (stub, _):
        wanted = request(run_id="")
        wanted.request_id = "once"
        first = await stub.CreateRun(wanted)
        upstream.fits = False
        again = await stub.CreateRun(wanted)
        listed = await stub.ListRuns(pb.ListRunsRequest(parent="projects/p"))

    assert first.meta.uid == again.meta.uid
    assert len(listed.runs) == 1


async def test_the_objective_follows_the_datasets_kind_or_has_to_fit_it(tmp_path: Path) -> None:
    """Preferences are for DPO, verdicts for KTO; another objective is refused before anything starts."""
    upstream = usual()
    dataset = upstream.datasets["projects/p/datasets/d"]
    made, refused = [], []
    async with training(tmp_path, upstream, steps=1) as (stub, _):
        for kind in (dataset_pb2.DATASET_KIND_PREFERENCE, dataset_pb2.DATASET_KIND_KTO):
            dataset.kind = kind
            wanted = request()
            wanted.validate_only = True
            made.append((await stub.CreateRun(wanted)).config)
            wanted.validate_only = False
            wanted.run.config.objective = config_pb2.OBJECTIVE_SFT
            refused.append(await refusal(stub.CreateRun(wanted)))

    assert [config.objective for config in made] == [config_pb2.OBJECTIVE_DPO, config_pb2.OBJECTIVE_KTO]
    assert [list(config.loss_type) for config in made] == [["sigmoid"], ["kto"]]
    assert refused == [(grpc.StatusCode.FAILED_PRECONDITION, "DATASET_KIND_NOT_TRAINABLE")] * 2


async def test_bad_requests_are_refused_with_their_reason(tmp_path: Path) -> None:
    """Each names what is wrong, and nothing is recorded."""
    upstream = usual()
    async with training(tmp_path, upstream, steps=1) as (stub, _):
        refused = [
            await refusal(stub.CreateRun(request(dataset="projects/p/datasets/none"))),
            await refusal(stub.CreateRun(request(model="models/none"))),
            await refusal(stub.CreateRun(request(dataset="projects/p/datasets/new"))),
            await refusal(stub.CreateRun(request(model="models/plain"))),
            await refusal(stub.CreateRun(request(dataset="projects/q/datasets/d"))),
            await refusal(stub.CreateRun(request(config=config_pb2.TrainingConfig(learning_rate=-1)))),
            await refusal(stub.CreateRun(request(config=config_pb2.TrainingConfig(max_length=4096)))),
        ]
        upstream.fits = False
        refused.append(await refusal(stub.CreateRun(request())))
        listed = await stub.ListRuns(pb.ListRunsRequest(parent="projects/p"))

    code = grpc.StatusCode
    assert refused == [
        (code.NOT_FOUND, "NOT_FOUND"),
        (code.NOT_FOUND, "NOT_FOUND"),
        (code.FAILED_PRECONDITION, "DATASET_NOT_READY"),
        (code.FAILED_PRECONDITION, "NO_CHAT_TEMPLATE"),
        (code.INVALID_ARGUMENT, "INVALID_FIELD"),
        (code.INVALID_ARGUMENT, "INVALID_FIELD"),
        (code.INVALID_ARGUMENT, "INVALID_FIELD"),
        (code.FAILED_PRECONDITION, "INSUFFICIENT_MEMORY"),
    ]
    assert list(listed.runs) == []


async def test_a_run_on_approved_examples_only_takes_a_version_of_those(tmp_path: Path) -> None:
    """The newest such version, whatever newer ones there are; without one, or for an erased one, it is refused."""
    upstream = usual()
    versions = upstream.datasets["projects/p/datasets/d"].versions
    async with training(tmp_path, upstream, steps=1) as (stub, _):
        without = await refusal(stub.CreateRun(request(only_approved=True)))
        versions.add(version=2, approved_only=True).artifact.CopyFrom(versions[0].artifact)
        versions.add(version=3).artifact.CopyFrom(versions[0].artifact)
        wanted = request(only_approved=True)
        wanted.validate_only = True
        run = await stub.CreateRun(wanted)
        named = await refusal(stub.CreateRun(request(only_approved=True, dataset_version=3)))
        versions[1].erased = True
        erased = await refusal(stub.CreateRun(request(only_approved=True)))

    assert (run.dataset_version, run.only_approved) == (2, True)
    assert without == named == (grpc.StatusCode.FAILED_PRECONDITION, "NOT_APPROVED_ONLY")
    assert erased == (grpc.StatusCode.FAILED_PRECONDITION, "VERSION_ERASED")


async def test_a_trainer_that_always_crashes_fails_the_run_with_its_last_words(tmp_path: Path) -> None:
    """Three launches without progress are enough."""
    async with training(tmp_path, always_crash=True) as (stub, _):
        await stub.CreateRun(request())
        run, _ = await ended(stub)

    assert run.work.state == work_pb2.WORK_STATE_FAILED
    assert "boom" in run.work.error.message
    assert "3 times" in run.work.error.message


async def test_an_error_that_no_retry_helps_ends_the_run_at_once(tmp_path: Path) -> None:
    """FAILED_PRECONDITION from the trainer is final."""
    async with training(tmp_path, error=9) as (stub, _):
        await stub.CreateRun(request())
        run, _ = await ended(stub)

    assert (run.work.state, run.work.error.message) == (work_pb2.WORK_STATE_FAILED, "The plan says so.")
    assert run.work.attempt == 1


async def test_a_watcher_that_comes_back_goes_on_from_its_cursor(tmp_path: Path) -> None:
    """after_seq is all that a watcher has to remember."""
    async with training(tmp_path, steps=10) as (stub, _):
        await stub.CreateRun(request())
        _, everything = await ended(stub)
        _, rest = await ended(stub, after_seq=everything[3].seq)

    assert [r.seq for r in rest] == [r.seq for r in everything[4:]]


async def test_a_run_that_has_ended_keeps_its_curve_in_one_object(tmp_path: Path) -> None:
    """Late watchers see the same series, from any cursor, and the run has a summary."""
    async with training(tmp_path, steps=12, save_steps=5, crash_at=8) as (stub, _):
        await stub.CreateRun(request())
        run, reports = await ended(stub)
        deadline = time.monotonic() + 15
        while not (curve := (await stub.GetRun(pb.GetRunRequest(name=RUN))).curve):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.1)
        _, again = await ended(stub)
        _, rest = await ended(stub, after_seq=reports[4].seq)

    assert again == reports
    assert rest == reports[5:]
    assert [point.step for point in curve] == list(range(1, 13))
    assert not run.curve


async def test_a_tracker_that_cannot_be_reported_to_is_refused_before_the_run_is_made(tmp_path: Path) -> None:
    """On one machine the trainer has the server's packages and environment; a name that is none is a wrong setting."""
    async with training(tmp_path, steps=1) as (stub, _):
        missing = await refusal(stub.CreateRun(request(config=config_pb2.TrainingConfig(report_to=["trackio"]))))
        wrong = await refusal(stub.CreateRun(request(config=config_pb2.TrainingConfig(report_to=["clearml"]))))
        made = await stub.CreateRun(request(config=config_pb2.TrainingConfig(report_to=["tensorboard", "none"])))

    assert missing == (grpc.StatusCode.FAILED_PRECONDITION, "TRACKER_MISSING")
    assert wrong == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    assert list(made.config.report_to) == ["tensorboard"]
