"""The other services, over gRPC."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

from finetuneflow.dataset.v1 import dataset_service_pb2, dataset_service_pb2_grpc
from finetuneflow.hardware.v1 import hardware_service_pb2, hardware_service_pb2_grpc, model_pb2
from finetuneflow.ingest.v1 import ingest_service_pb2, ingest_service_pb2_grpc
from finetuneflow.training.v1 import run_pb2, training_service_pb2, training_service_pb2_grpc
from services.common.channels import Peers
from services.common.errors import NotFound

_AT_A_TIME = 16
"""Questions that another service is asked at a time."""


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

    async def documents(self, name: str) -> tuple[dict[str, str], bool]:
        """Return the files that a dataset was made from; see ports.Datasets."""
        try:
            dataset = await self._stub.GetDataset(dataset_service_pb2.GetDatasetRequest(name=name))
        except NotFound:
            return {}, False
        if dataset.HasField("imported"):
            return {dataset.imported.filename: dataset.imported.sha256}, True
        return dict.fromkeys(dataset.spec.files, ""), not dataset.forgotten_files


class GrpcDocuments:
    """The ingest service; see ports.Documents."""

    def __init__(self, peers: Peers) -> None:
        self._stub: ingest_service_pb2_grpc.IngestServiceAsyncStub = (
            ingest_service_pb2_grpc.IngestServiceStub(peers.ingest)  # type: ignore[assignment]  # async by its channel
        )

    async def known(self, names: Sequence[str]) -> dict[str, tuple[str, str]]:
        """Return SHA-256 and file name of files by name; a file that was deleted is left out."""
        gate, found = asyncio.Semaphore(_AT_A_TIME), {}

        async def ask(name: str) -> None:
            async with gate:
                with contextlib.suppress(NotFound):
                    file = await self._stub.GetFile(ingest_service_pb2.GetFileRequest(name=name))
                    found[name] = (file.content.sha256, file.display_name)

        await asyncio.gather(*map(ask, names))
        return found


class GrpcModels:
    """The hardware service; see ports.Models."""

    def __init__(self, peers: Peers) -> None:
        self._stub: hardware_service_pb2_grpc.HardwareServiceAsyncStub = (
            hardware_service_pb2_grpc.HardwareServiceStub(peers.hardware)  # type: ignore[assignment]  # async by its channel
        )

    async def get(self, name: str) -> model_pb2.Model:
        """Return a model."""
        return await self._stub.GetModel(hardware_service_pb2.GetModelRequest(name=name))
