"""The other services, over gRPC."""

from __future__ import annotations

from finetuneflow.dataset.v1 import dataset_service_pb2, dataset_service_pb2_grpc
from finetuneflow.hardware.v1 import hardware_service_pb2, hardware_service_pb2_grpc, model_pb2
from finetuneflow.training.v1 import run_pb2, training_service_pb2, training_service_pb2_grpc
from services.common.channels import Peers
from services.common.errors import NotFound


class GrpcRuns:
    """The training service; see ports.Runs."""

    def __init__(self, peers: Peers) -> None:
        self._stub: training_service_pb2_grpc.TrainingServiceAsyncStub = (
            training_service_pb2_grpc.TrainingServiceStub(peers.training)  # type: ignore[assignment]  # async by its channel
        )

    async def get(self, name: str) -> run_pb2.Run:
        """Return a run."""
        return await self._stub.GetRun(training_service_pb2.GetRunRequest(name=name))


class GrpcDatasets:
    """The dataset service; see ports.Datasets."""

    def __init__(self, peers: Peers) -> None:
        self._stub: dataset_service_pb2_grpc.DatasetServiceAsyncStub = (
            dataset_service_pb2_grpc.DatasetServiceStub(peers.dataset)  # type: ignore[assignment]  # async by its channel
        )

    async def documents(self, name: str) -> list[str]:
        """Return the names of the files that a dataset was written from; none if it was deleted."""
        try:
            dataset = await self._stub.GetDataset(dataset_service_pb2.GetDatasetRequest(name=name))
        except NotFound:
            return []
        return list(dataset.spec.files)


class GrpcModels:
    """The hardware service; see ports.Models."""

    def __init__(self, peers: Peers) -> None:
        self._stub: hardware_service_pb2_grpc.HardwareServiceAsyncStub = (
            hardware_service_pb2_grpc.HardwareServiceStub(peers.hardware)  # type: ignore[assignment]  # async by its channel
        )

    async def get(self, name: str) -> model_pb2.Model:
        """Return a model."""
        return await self._stub.GetModel(hardware_service_pb2.GetModelRequest(name=name))
