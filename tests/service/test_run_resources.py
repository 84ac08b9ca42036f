"""What a run asks of the place where it runs, from the call to the Job."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest

from finetuneflow.common.v1 import reasons_pb2
from finetuneflow.training.v1 import resources_pb2
from finetuneflow.training.v1 import training_service_pb2 as pb
from services.common.jobs.port import Resources
from tests.fakes.running import refusal
from tests.service.test_training import RUN, ended, request
from tests.service.test_waiting import training


async def test_what_a_run_asks_for_reaches_its_job(tmp_path: Path) -> None:
    """It is kept with the run, and every Job of the run asks for it."""
    asked = resources_pb2.Resources(gpus=0, memory="2Gi", queue="team", active_deadline_seconds=60)
    async with training(tmp_path, steps=2) as (stub, jobs):
        await stub.CreateRun(request(resources=asked))
        run, _ = await ended(stub)

    assert run.resources == resources_pb2.Resources(
        gpus=0, memory="2Gi", queue="team", active_deadline_seconds=60, nodes=1
    )
    assert jobs.specs[0].resources == Resources(gpus=0, memory="2Gi", queue="team", active_deadline_seconds=60)


async def test_a_run_that_asks_for_nothing_has_the_defaults(tmp_path: Path) -> None:
    """Unset GPUs are not zero GPUs."""
    async with training(tmp_path, steps=1) as (stub, jobs):
        await stub.CreateRun(request())
        run, _ = await ended(stub)

    assert not run.resources.HasField("gpus")
    assert jobs.specs[0].resources == Resources()


@pytest.mark.parametrize(
    "bad",
    [
        resources_pb2.Resources(nodes=2),
        resources_pb2.Resources(cpu="lots"),
        resources_pb2.Resources(gpus=1000),
        resources_pb2.Resources(active_deadline_seconds=-1),
    ],
    ids=str,
)
async def test_what_cannot_be_had_here_is_refused(bad: resources_pb2.Resources, tmp_path: Path) -> None:
    """And told when it is only asked whether it could; nothing is recorded."""
    async with training(tmp_path) as (stub, _):
        only_check = request(resources=bad)
        only_check.validate_only = True
        refused = await refusal(stub.CreateRun(request(resources=bad)))
        told = (await stub.CreateRun(only_check)).check.problems[0]
        absent = await refusal(stub.GetRun(pb.GetRunRequest(name=RUN)))

    assert refused == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    assert (told.severity, told.reason) == (told.SEVERITY_REFUSE, reasons_pb2.REASON_INVALID_FIELD)
    assert absent == (grpc.StatusCode.NOT_FOUND, "NOT_FOUND")
