"""What a server is: its own services, and those that run elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import grpc

from finetuneflow.common.v1 import server_service_pb2 as pb
from finetuneflow.common.v1 import server_service_pb2_grpc
from services.common.auth import current_principal
from services.common.config import VERSION
from services.common.errors import FineTuneFlowError
from services.common.interceptors import Context
from services.common.runtime import Service

PATIENCE_SECONDS = 2.0


class ServerApi(server_service_pb2_grpc.ServerServiceServicer):
    """Says what this server is.

    Args:
        services: that this program serves.
        others: channels to services by name; those served here are not asked.
    """

    def __init__(self, services: Sequence[Service], others: Mapping[str, grpc.aio.Channel]) -> None:
        self._services = services
        own = {service.name for service in services}
        self._others = [channel for name, channel in others.items() if name not in own]

    async def GetServerInfo(self, request: pb.GetServerInfoRequest, context: Context) -> pb.GetServerInfoResponse:
        """Return version, services and capabilities. A service that asks is told of this program alone."""
        names = [service.name for service in self._services]
        capabilities = {one for service in self._services for one in service.capabilities}
        if current_principal().kind != "service":
            for info in await asyncio.gather(*(_ask(channel) for channel in self._others)):
                names += info.services
                capabilities.update(info.capabilities)
        return pb.GetServerInfoResponse(version=VERSION, services=names, capabilities=sorted(capabilities))


async def _ask(channel: grpc.aio.Channel) -> pb.GetServerInfoResponse:
    stub: server_service_pb2_grpc.ServerServiceAsyncStub = server_service_pb2_grpc.ServerServiceStub(channel)  # type: ignore[assignment]  # the stub of an aio channel is the async one
    try:
        return await stub.GetServerInfo(pb.GetServerInfoRequest(), timeout=PATIENCE_SECONDS)
    except FineTuneFlowError:
        return pb.GetServerInfoResponse()
