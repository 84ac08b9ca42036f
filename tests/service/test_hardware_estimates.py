"""What a run is expected to take, over real gRPC, and how measurements change it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio

from finetuneflow.hardware.v1 import hardware_service_pb2 as pb
from finetuneflow.training.v1 import config_pb2, resources_pb2
from services.hardware.core_placement import on_cpu
from services.hardware.estimateform import schedule
from tests.fakes.hardware import create, hardware
from tests.fakes.model_folder import model_files, write_folder
from tests.fakes.running import refusal

ON_CPU = resources_pb2.Resources(gpus=0)


@pytest_asyncio.fixture
async def stub(tmp_path: Path) -> AsyncIterator[Any]:
    """The service's stub."""
    async with hardware(tmp_path / "state") as (stub, _):
        yield stub


async def asked(stub: Any, tmp_path: Path, **fields: Any) -> pb.EstimateRunRequest:
    """A good request, but for the fields given."""
    model = await stub.CreateModel(create(write_folder(tmp_path / "model", model_files())))
    chosen = {"train_examples": 40, "held_out_examples": 4, "example_characters": [200, 300], "resources": ON_CPU}
    return pb.EstimateRunRequest(model=model.name, **{**chosen, **fields})


def measured(found: pb.EstimateRunResponse, times: float, uid: str = "u1") -> pb.RecordMeasurementRequest:
    """A run that took so many times what was likely."""
    expected = found.estimate
    return pb.RecordMeasurementRequest(
        run="projects/p/runs/r",
        uid=uid,
        estimate=expected,
        device_name=expected.calibration.device,
        training_peak_memory_bytes=int(times * expected.training_memory_bytes.likely),
        train_seconds=times * expected.train_seconds.likely,
    )


async def test_a_run_is_estimated_with_its_memory_part_by_part(stub: Any, tmp_path: Path) -> None:
    """Ranges of everything; a cost only with a price."""
    request = await asked(stub, tmp_path)
    found = await stub.EstimateRun(request)
    priced = await stub.EstimateRun(await asked(stub, tmp_path, price_per_hour=3.5))

    assert found.memory.peak > 0
    assert 0 < found.estimate.tokens.low < found.estimate.tokens.likely < found.estimate.tokens.high
    assert found.estimate.steps.likely == 30
    assert not found.estimate.HasField("cost")
    assert priced.estimate.cost.likely > 0
    assert found.estimate.calibration.device
    assert "No training has ended on" in found.estimate.note


async def test_the_objective_decides_what_goes_through_the_model(stub: Any, tmp_path: Path) -> None:
    """Raw text is cut into sequences and loses nothing; of a preference both answers count."""
    texts: dict[str, Any] = {"train_examples": 2, "example_characters": [38_000] * 2}
    found = {}
    for objective in (config_pb2.OBJECTIVE_SFT, config_pb2.OBJECTIVE_PRETRAIN, config_pb2.OBJECTIVE_DPO):
        config = config_pb2.TrainingConfig(objective=objective, max_length=64, num_train_epochs=1)
        found[objective] = (await stub.EstimateRun(await asked(stub, tmp_path, config=config, **texts))).estimate
    sft, raw, pairs = found.values()

    assert (sft.steps.likely, sft.tokens.likely) == (1, 2 * 64)
    assert (raw.steps.likely, raw.tokens.likely) == (79, pytest.approx(20_000))
    assert (pairs.steps.likely, pairs.tokens.likely) == (1, 2 * 2 * 64)


def test_of_an_uploaded_model_the_files_are_fetched() -> None:
    """Of one in a folder none is."""
    model = {"tokenizer": {"size_bytes": 1}, "files": [["a", 10, "sha"], ["b", 5, "sha"]]}

    here = on_cpu(1 << 34, 1 << 33)

    assert schedule(pb.EstimateRunRequest(), {**model, "uploaded": True}, here).fetched_bytes == 15
    assert schedule(pb.EstimateRunRequest(), model, here).fetched_bytes == 0


async def test_what_a_run_took_corrects_the_next_estimate(stub: Any, tmp_path: Path) -> None:
    """Of the same type of device, and as often as it is told of the same run, once."""
    request = await asked(stub, tmp_path)
    first = await stub.EstimateRun(request)
    for _ in range(2):
        await stub.RecordMeasurement(measured(first, 1.5))
    second = await stub.EstimateRun(request)
    await stub.RecordMeasurement(measured(second, 1.0, "u2"))
    third = await stub.EstimateRun(request)

    assert (first.estimate.calibration.runs, second.estimate.calibration.runs) == (0, 1)
    likely = [found.estimate.training_memory_bytes.likely for found in (first, second, third)]
    assert likely[1] == pytest.approx(1.5 * likely[0])
    assert likely[2] == pytest.approx(likely[1])
    assert second.estimate.train_seconds.likely == pytest.approx(1.5 * first.estimate.train_seconds.likely)
    assert second.estimate.note.startswith("Calibrated by 1 run on ")
    assert third.estimate.note.startswith("Calibrated by 2 runs on ")
    assert second.estimate.evaluation_memory_bytes == first.estimate.evaluation_memory_bytes


async def test_numbers_that_cannot_be_are_refused(stub: Any, tmp_path: Path) -> None:
    """Below 0, too many lengths, or a run without a name."""
    request = await asked(stub, tmp_path)
    wrong: list[dict[str, Any]] = [
        {"train_examples": -1},
        {"price_per_hour": float("nan")},
        {"example_characters": [-1]},
        {"example_characters": [1] * 2001},
    ]
    codes = []
    for fields in wrong:
        bad = pb.EstimateRunRequest(model=request.model, **fields)
        codes.append((await refusal(stub.EstimateRun(bad)))[0])
    codes.append((await refusal(stub.RecordMeasurement(pb.RecordMeasurementRequest(device_name="x"))))[0])
    codes.append((await refusal(stub.RecordMeasurement(pb.RecordMeasurementRequest(uid="x"))))[0])

    assert codes == [grpc.StatusCode.INVALID_ARGUMENT] * 6
