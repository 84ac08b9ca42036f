"""A run carries what it was expected to take, and tells what it took, over real gRPC."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import grpc
import pytest

from finetuneflow.hardware.v1 import hardware_service_pb2
from services.common.objects.folder import FolderObjects
from services.training.estimating import Estimating
from services.training.peers import GrpcHardware
from tests.fakes.running import refusal
from tests.fakes.upstream import usual
from tests.service.test_training import ended, request, training

ROWS = [
    {"id": str(n), "split": "TRAIN", "messages": [{"role": "user", "content": "x" * n}, {"role": "assistant"}]}
    for n in (100, 250)
]
RAW = {"id": "t", "raw": True, "messages": [{"role": "user", "content": ""}, {"role": "assistant", "content": "word"}]}


class Hearing(GrpcHardware):
    """The hardware service, as far as it is told what runs took."""

    def __init__(self) -> None:
        self.told: list[str] = []

    async def record(self, request: hardware_service_pb2.RecordMeasurementRequest) -> None:
        """Remember of which run."""
        self.told.append(request.uid)


async def test_a_run_is_estimated_from_its_datasets_file(tmp_path: Path) -> None:
    """Before it starts, and in a dry run too; a line that is no conversation is left out."""
    upstream = usual()
    version = upstream.datasets["projects/p/datasets/d"].versions[0]
    version.train_examples, version.eval_examples, version.recall_examples = 2, 3, 4
    async with training(tmp_path, upstream, steps=1) as (stub, _):
        data = "\n".join([*(json.dumps(row) for row in (*ROWS, RAW)), '{"prompt": []}', ""])
        await FolderObjects(tmp_path / "objects").put(version.artifact.key, data.encode())
        wanted = request(price_per_hour=2.5)
        wanted.validate_only = True
        run = await stub.CreateRun(wanted)
        prices = (-1, float("inf"), float("nan"))
        refused = {await refusal(stub.CreateRun(request(price_per_hour=price))) for price in prices}

    (asked, *_) = upstream.asked
    assert list(asked.example_characters) == [180, 330, 4]
    assert (asked.train_examples, asked.held_out_examples, asked.price_per_hour) == (2, 7, 2.5)
    assert asked.config.max_length == 512
    assert run.estimate.training_memory_bytes.likely == 8e9
    assert (run.estimate.note, run.price_per_hour) == ("From a test.", 2.5)
    assert refused == {(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")}


async def test_a_run_that_succeeded_tells_what_it_took(tmp_path: Path) -> None:
    """Its measurements go to where estimates are made, with the estimate that they belong to."""
    upstream = usual()
    async with training(tmp_path, upstream, steps=1) as (stub, _), asyncio.timeout(30):
        await stub.CreateRun(request())
        run, _ = await ended(stub)
        await upstream.heard.wait()

    (told,) = upstream.told
    assert (told.run, told.uid, told.device_name) == (run.name, run.meta.uid, "Some CPU")
    assert (told.training_peak_memory_bytes, told.train_seconds) == (5 * 10**9, 7)
    assert told.estimate == run.estimate


@pytest.mark.parametrize(
    ("config", "result"),
    [
        ({"objective": "OBJECTIVE_DPO"}, {}),
        ({"objective": "OBJECTIVE_PRETRAIN"}, {}),
        ({"eval_steps": 5}, {}),
        ({}, {"stopped_early": True}),
    ],
    ids=["preferences", "raw text", "evaluated", "stopped"],
)
async def test_nothing_is_learnt_from_a_run_that_did_something_else(
    tmp_path: Path, config: dict[str, Any], result: dict[str, Any]
) -> None:
    """Its time would be taken for that of a plain training to the end."""
    run: dict[str, Any] = {
        "_id": "projects/p/runs/r",
        "uid": "u",
        "work": {"state": "SUCCEEDED"},
        "estimate": {"note": "From a test."},
        "attempts": [{}],
        "start": None,
        "config": config,
        "result": {"device_name": "Some CPU", "train_seconds": 7.0, **result},
    }
    plain = {"config": {"objective": "OBJECTIVE_SFT"}, "result": {"device_name": "Some CPU"}, "uid": "plain"}
    hearing = Hearing()
    estimating = Estimating(FolderObjects(tmp_path), hearing)
    await estimating.tell(run)
    await estimating.tell({**run, **plain})

    assert hearing.told == ["plain"]
