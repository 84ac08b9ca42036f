"""The hardware service, over gRPC."""

from __future__ import annotations

from finetuneflow.hardware.v1 import hardware_service_pb2, hardware_service_pb2_grpc
from services.common.channels import Peers
from services.common.errors import NotReady
from services.ingest.ports import ModelTokenizer


class GrpcModels:
    """See ports.Models."""

    def __init__(self, peers: Peers) -> None:
        self._peers = peers

    async def tokenizer(self, name: str) -> ModelTokenizer:
        """Return a model's tokenizer."""
        stub: hardware_service_pb2_grpc.HardwareServiceAsyncStub = hardware_service_pb2_grpc.HardwareServiceStub(
            self._peers.hardware  # type: ignore[assignment]  # async by its channel
        )
        model = await stub.GetModel(hardware_service_pb2.GetModelRequest(name=name))
        if not model.tokenizer.key:
            raise NotReady(
                f"{name} has no tokenizer.json. Leave the model out to count with cl100k_base, or choose another.",
                reason="MODEL_INVALID",
            )
        label = f"{model.name}@{model.revision}"
        return ModelTokenizer(label, model.tokenizer.key, model.tokenizer.sha256)
