"""The services that training and export ask, in memory: what a test says is what they answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import grpc

from finetuneflow.common.v1 import artifact_pb2
from finetuneflow.dataset.v1 import comparison_pb2, dataset_pb2, dataset_service_pb2_grpc
from finetuneflow.hardware.v1 import (
    device_pb2,
    hardware_service_pb2,
    hardware_service_pb2_grpc,
    model_pb2,
    plan_pb2,
)
from finetuneflow.training.v1 import estimate_pb2
from services.common.errors import NotFound, NotReady
from services.common.runtime import Compose, Runtime, Service


@dataclass
class Upstream:
    """Datasets and models by name."""

    datasets: dict[str, dataset_pb2.Dataset] = field(default_factory=dict)
    models: dict[str, model_pb2.Model] = field(default_factory=dict)
    fits: bool = True
    node: hardware_service_pb2.NodeUse = field(default_factory=hardware_service_pb2.NodeUse)
    disk: estimate_pb2.Range = field(default_factory=estimate_pb2.Range)
    judge: Callable[[comparison_pb2.CompareAnswersRequest], comparison_pb2.CompareAnswersResponse] | None = None
    asked: list[hardware_service_pb2.EstimateRunRequest] = field(default_factory=list)
    heard: asyncio.Event = field(default_factory=asyncio.Event)
    told: list[hardware_service_pb2.RecordMeasurementRequest] = field(default_factory=list)

    def composes(self) -> dict[str, Compose]:
        """Return the two services."""
        return {"dataset": self._dataset, "hardware": self._hardware}

    def _dataset(self, runtime: Runtime) -> Service:
        def register(server: grpc.aio.Server) -> None:
            dataset_service_pb2_grpc.add_DatasetServiceServicer_to_server(_Datasets(self), server)

        return Service(name="dataset", register=register)

    def _hardware(self, runtime: Runtime) -> Service:
        def register(server: grpc.aio.Server) -> None:
            hardware_service_pb2_grpc.add_HardwareServiceServicer_to_server(_Hardware(self), server)

        return Service(name="hardware", register=register)


class _Datasets(dataset_service_pb2_grpc.DatasetServiceServicer):
    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream

    async def GetDataset(self, request: Any, context: Any) -> dataset_pb2.Dataset:
        """Return the dataset that the test put there."""
        if request.name not in self._upstream.datasets:
            raise NotFound(f"dataset {request.name} does not exist.")
        return self._upstream.datasets[request.name]

    async def CompareAnswers(self, request: Any, context: Any) -> comparison_pb2.CompareAnswersResponse:
        """Answer as the test's judge does; without one there is no endpoint."""
        if self._upstream.judge is None:
            raise NotReady("There is no LLM endpoint. Run `ftf llm create`.", reason="NO_LLM_ENDPOINT")
        return self._upstream.judge(request)


class _Hardware(hardware_service_pb2_grpc.HardwareServiceServicer):
    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream

    async def GetModel(self, request: Any, context: Any) -> model_pb2.Model:
        """Return the model that the test put there."""
        if request.name not in self._upstream.models:
            raise NotFound(f"model {request.name} does not exist.")
        return self._upstream.models[request.name]

    async def GetInventory(self, request: Any, context: Any) -> device_pb2.Inventory:
        """Return a machine without a GPU."""
        return device_pb2.Inventory()

    async def EstimateRun(self, request: Any, context: Any) -> hardware_service_pb2.EstimateRunResponse:
        """Return an estimate that fits or not, as the test says; remembers what was asked."""
        self._upstream.asked.append(request)
        memory = plan_pb2.MemoryEstimate(peak=8 * 10**9, available=4 * 10**9, device="cpu", fits=self._upstream.fits)
        expected = estimate_pb2.RunEstimate(
            training_memory_bytes=estimate_pb2.Range(low=6e9, likely=8e9, high=9e9),
            disk_bytes=self._upstream.disk,
            calibration=estimate_pb2.Calibration(device="some CPU", training_memory=1),
            note="From a test.",
        )
        return hardware_service_pb2.EstimateRunResponse(memory=memory, estimate=expected, node=self._upstream.node)

    async def RecordMeasurement(self, request: Any, context: Any) -> hardware_service_pb2.RecordMeasurementResponse:
        """Remember what was told."""
        self._upstream.told.append(request)
        self._upstream.heard.set()
        return hardware_service_pb2.RecordMeasurementResponse()


def usual() -> Upstream:
    """Return one frozen dataset, one that is not ready, and two models, one of them without a chat template."""
    frozen = dataset_pb2.DatasetVersion(
        version=1, artifact=artifact_pb2.Artifact(filename="d.jsonl", sha256="ab" * 32, key="datasets/d.jsonl")
    )
    model = model_pb2.Model(
        name="models/m", local_path="/models/m", revision="r1", has_chat_template=True, context_length=2048
    )
    plain = model_pb2.Model(name="models/plain", local_path="/models/plain", revision="r1", context_length=2048)
    return Upstream(
        datasets={
            "projects/p/datasets/d": dataset_pb2.Dataset(name="projects/p/datasets/d", versions=[frozen]),
            "projects/p/datasets/new": dataset_pb2.Dataset(name="projects/p/datasets/new"),
        },
        models={"models/m": model, "models/plain": plain},
    )
