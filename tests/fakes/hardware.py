"""The hardware service for tests, and requests for it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from finetuneflow.hardware.v1 import hardware_service_pb2 as pb
from finetuneflow.hardware.v1 import hardware_service_pb2_grpc, model_pb2
from services.hardware.compose import compose
from tests.fakes.running import Served, serving


@asynccontextmanager
async def hardware(state: Path, **overrides: Any) -> AsyncIterator[tuple[Any, Served]]:
    """The service's stub and server."""
    async with serving(state, {"hardware": compose}, **overrides) as served, served.channel() as channel:
        yield hardware_service_pb2_grpc.HardwareServiceStub(channel), served


def create(folder: Path | str = "", model_id: str = "", request_id: str = "", **fields: Any) -> pb.CreateModelRequest:
    """A request for a folder's model, or for what the fields say."""
    model = model_pb2.Model(**({"local_path": str(folder)} if folder else {}), **fields)
    return pb.CreateModelRequest(model=model, model_id=model_id, request_id=request_id)
