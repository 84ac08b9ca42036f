"""The other services, over gRPC."""

from __future__ import annotations

from finetuneflow.dataset.v1 import comparison_pb2, dataset_pb2, dataset_service_pb2, dataset_service_pb2_grpc
from finetuneflow.hardware.v1 import hardware_service_pb2, hardware_service_pb2_grpc, model_pb2
from services.common.channels import Peers
from services.common.errors import NotReady
from services.training.ports import Gpus

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
        return Gpus(most, bool(found) and all(found), 0 if inventory.nodes else inventory.disk_free_bytes)

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
