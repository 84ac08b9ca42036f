"""What fits where, over real gRPC: the inventory, estimates and recommendations."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio

from finetuneflow.hardware.v1 import hardware_service_pb2 as pb
from finetuneflow.training.v1 import config_pb2, resources_pb2
from tests.fakes.hardware import create, hardware
from tests.fakes.model_folder import PARAMETERS, model_files, write_folder
from tests.fakes.running import refusal

INVALID, MISSING = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND


@pytest_asyncio.fixture
async def stub(tmp_path: Path) -> AsyncIterator[Any]:
    """The service's stub."""
    async with hardware(tmp_path / "state") as (stub, _):
        yield stub


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model's folder."""
    return write_folder(tmp_path / "My Model 1.5", model_files())


async def test_the_inventory_says_what_it_means_for_training(stub: Any) -> None:
    """In numbers, and in one sentence."""
    inventory = await stub.GetInventory(pb.GetInventoryRequest())

    assert inventory.cpu_cores >= 1
    assert 0 < inventory.memory_free_bytes <= inventory.memory_bytes
    assert inventory.disk_free_bytes > 0
    assert "training runs on" in inventory.summary
    assert bool(inventory.gpus) == (not inventory.summary.startswith("no GPU"))


async def test_an_estimate_has_its_parts_and_a_verdict(stub: Any, folder: Path) -> None:
    """Settings that are open have the contract's defaults."""
    model = await stub.CreateModel(create(folder))
    usual = await stub.EstimateMemory(pb.EstimateMemoryRequest(model=model.name))
    config = config_pb2.TrainingConfig(per_device_train_batch_size=2, max_length=256, gradient_accumulation_steps=2)
    same = await stub.EstimateMemory(pb.EstimateMemoryRequest(model=model.name, config=config))

    assert usual == same
    assert usual.weights == PARAMETERS * 4
    assert usual.peak > usual.overhead > 0
    assert usual.fits == (usual.peak <= usual.available)
    assert usual.note


@pytest.mark.parametrize(
    "config",
    [
        {"max_length": 257},
        {"max_length": 15},
        {"per_device_train_batch_size": 0},
        {"gradient_accumulation_steps": 1025},
        {"learning_rate": 0},
        {"learning_rate": float("nan")},
        {"lora": {"r": 0}},
        {"lora": {"r": 2000}},
        {"lora": {"target_modules": ["nothing"]}},
    ],
)
async def test_settings_out_of_range_are_refused(stub: Any, folder: Path, config: dict[str, Any]) -> None:
    """By the estimate and by the recommendation."""
    model = await stub.CreateModel(create(folder))
    settings = config_pb2.TrainingConfig(**config)
    estimate = stub.EstimateMemory(pb.EstimateMemoryRequest(model=model.name, config=settings))
    recommend = stub.RecommendTraining(pb.RecommendTrainingRequest(model=model.name, config=settings))

    assert await refusal(estimate) == (INVALID, "INVALID_FIELD")
    assert await refusal(recommend) == (INVALID, "INVALID_FIELD")


async def test_a_recommendation_keeps_what_is_decided_and_leaves_the_rest_to_its_defaults(
    stub: Any, folder: Path
) -> None:
    """Each of its settings has a reason."""
    model = await stub.CreateModel(create(folder))
    given = config_pb2.TrainingConfig(learning_rate=1e-3, seed=7, lora={"r": 4, "lora_dropout": 0.1})
    asked = pb.RecommendTrainingRequest(model=model.name, train_examples=50, longest_example_tokens=100, config=given)
    found = await stub.RecommendTraining(asked)
    config = found.config

    assert (config.learning_rate, config.seed, config.lora.r, config.lora.lora_dropout) == (1e-3, 7, 4, 0.1)
    assert (config.max_length, config.num_train_epochs, config.method) == (128, 3, config_pb2.METHOD_LORA)
    assert list(config.lora.target_modules) == ["all-linear"]
    assert not config.HasField("save_steps")
    assert found.estimate.fits
    assert len(found.reasons) >= 8


async def test_an_unknown_architecture_is_recorded_but_not_reckoned(stub: Any, tmp_path: Path) -> None:
    """It may be trained without an estimate."""
    changes = {"model_type": "brandnew", "architectures": ["BrandNewForCausalLM"]}
    model = await stub.CreateModel(create(write_folder(tmp_path / "new", model_files(changes))))
    refused = (grpc.StatusCode.FAILED_PRECONDITION, "ARCHITECTURE_UNKNOWN")

    assert model.parameters == PARAMETERS
    assert await refusal(stub.EstimateMemory(pb.EstimateMemoryRequest(model=model.name))) == refused
    assert await refusal(stub.RecommendTraining(pb.RecommendTrainingRequest(model=model.name))) == refused


async def test_what_is_far_too_large_is_refused_with_both_numbers(stub: Any, tmp_path: Path) -> None:
    """70 billion parameters, by the header of a file that holds none of them."""
    config = {"hidden_size": 8192, "intermediate_size": 28672, "num_hidden_layers": 80, "num_attention_heads": 64}
    config |= {"num_key_value_heads": 8, "vocab_size": 128256, "quantization_config": {"bits": 1}}
    model = await stub.CreateModel(create(write_folder(tmp_path / "huge", model_files(config))))
    estimate = await stub.EstimateMemory(pb.EstimateMemoryRequest(model=model.name))

    assert not estimate.fits
    assert await refusal(stub.RecommendTraining(pb.RecommendTrainingRequest(model=model.name))) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "INSUFFICIENT_MEMORY",
    )


async def test_negative_numbers_and_bad_names_are_refused(stub: Any) -> None:
    """Before anything is looked up."""
    negative = pb.RecommendTrainingRequest(model="models/m", train_examples=-1)

    assert await refusal(stub.RecommendTraining(negative)) == (INVALID, "INVALID_FIELD")
    assert await refusal(stub.GetModel(pb.GetModelRequest(name="model"))) == (INVALID, "INVALID_FIELD")
    assert await refusal(stub.GetModel(pb.GetModelRequest(name="models/none"))) == (MISSING, "NOT_FOUND")
    assert await refusal(stub.ListModels(pb.ListModelsRequest(page_token="x"))) == (INVALID, "INVALID_FIELD")


async def test_a_recommendation_names_the_next_best_settings(stub: Any, folder: Path) -> None:
    """Complete settings that can be used as they are, and what they win and cost."""
    model = await stub.CreateModel(create(folder))
    resources = resources_pb2.Resources(gpus=0)
    found = await stub.RecommendTraining(pb.RecommendTrainingRequest(model=model.name, resources=resources))
    other = found.alternative

    assert found.config.method == config_pb2.METHOD_LORA
    assert found.config.optim == "adamw_torch"
    assert other.config.method == config_pb2.METHOD_FULL
    assert not other.config.HasField("lora")
    assert not other.config.HasField("learning_rate")
    assert other.estimate.peak > found.estimate.peak
    assert other.reason.endswith("more memory at the peak.")
