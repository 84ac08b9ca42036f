"""The other services, over gRPC."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, cast

import grpc

from finetuneflow.dataset.v1 import comparison_pb2, dataset_pb2, dataset_service_pb2, dataset_service_pb2_grpc
from finetuneflow.hardware.v1 import hardware_service_pb2, hardware_service_pb2_grpc, model_pb2
from finetuneflow.training.v1 import training_service_pb2, training_service_pb2_grpc
from services.common.channels import Peers
from services.common.errors import NotReady
from services.common.gpunames import has_bf16
from services.training.ports import Gpus

PASSED_ON = "ftf-passed-on"
"""Metadata of a call that one replica passes on to another."""
_COMPARE_SECONDS = 3600.0
"""Longest that a comparison may take: the time limits of an endpoint's calls come first."""


class GrpcDatasets:
    """The dataset service; see ports.Datasets."""

    def __init__(self, peers: Peers) -> None:
        self._stub: dataset_service_pb2_grpc.DatasetServiceAsyncStub = dataset_service_pb2_grpc.DatasetServiceStub(
            peers.dataset
        )  # type: ignore[assignment]  # the stub of an aio channel is the async one

    async def get(self, name: str) -> dataset_pb2.Dataset:
        """Return a dataset."""
        return await self._stub.GetDataset(dataset_service_pb2.GetDatasetRequest(name=name))

    async def compare(self, request: comparison_pb2.CompareAnswersRequest) -> comparison_pb2.CompareAnswersResponse:
        """Ask an LLM which of two answers is better; an LLM that thinks takes its time."""
        return await self._stub.CompareAnswers(request, timeout=_COMPARE_SECONDS)


class GrpcReplicas:
    """The other replicas of this service; see ports.Replicas."""

    def __init__(self, peers: Peers) -> None:
        self._peers = peers

    async def generate(
        self, address: str, request: training_service_pb2.GenerateRequest
    ) -> AsyncIterator[training_service_pb2.GenerateResponse]:
        """Pass a question on."""
        async with self._peers.open(address, "training") as channel:
            call = _training(channel).Generate(request, metadata=((PASSED_ON, "1"),))
            try:
                async for update in call:
                    yield update
            finally:
                call.cancel()

    async def unload(self, address: str, name: str) -> None:
        """Have a run's models let go."""
        async with self._peers.open(address, "training") as channel:
            request = training_service_pb2.UnloadRunRequest(name=name)
            await _training(channel).UnloadRun(request, metadata=((PASSED_ON, "1"),))


def _training(channel: grpc.aio.Channel) -> training_service_pb2_grpc.TrainingServiceAsyncStub:
    stub: Any = training_service_pb2_grpc.TrainingServiceStub(channel)  # of an aio channel it is the async one
    return cast("training_service_pb2_grpc.TrainingServiceAsyncStub", stub)


class GrpcHardware:
    """The hardware service; see ports.Hardware."""

    def __init__(self, peers: Peers) -> None:
        self._stub: hardware_service_pb2_grpc.HardwareServiceAsyncStub = (
            hardware_service_pb2_grpc.HardwareServiceStub(peers.hardware)  # type: ignore[assignment]  # as above
        )

    async def model(self, name: str) -> model_pb2.Model:
        """Return a model."""
        return await self._stub.GetModel(hardware_service_pb2.GetModelRequest(name=name))

    async def gpus(self, product: str) -> Gpus:
        """Return what is known of the GPUs."""
        inventory = await self._stub.GetInventory(hardware_service_pb2.GetInventoryRequest())
        nodes = [node.bf16 for node in inventory.nodes if node.gpus and product in ("", node.gpu_product)]
        found = nodes if inventory.nodes else [gpu.bf16 for gpu in inventory.gpus]
        most = len(inventory.gpus) if inventory.node else None
        bf16 = all(found) if found else most is None and bool(has_bf16(product))
        return Gpus(most, bf16, 0 if inventory.nodes else inventory.disk_free_bytes)

    async def estimate_run(
        self, request: hardware_service_pb2.EstimateRunRequest
    ) -> hardware_service_pb2.EstimateRunResponse | None:
        """Return what a run takes."""
        try:
            return await self._stub.EstimateRun(request)
        except NotReady as error:
            if error.reason == "ARCHITECTURE_UNKNOWN":
                return None
            raise

    async def record(self, request: hardware_service_pb2.RecordMeasurementRequest) -> None:
        """Tell what a run took."""
        await self._stub.RecordMeasurement(request)
