"""What a server is, and what it reaches: its own services, and those that run elsewhere."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence

import grpc

from finetuneflow.common.v1 import server_service_pb2 as pb
from finetuneflow.common.v1 import server_service_pb2_grpc
from services.common.auth import current_principal
from services.common.config import VERSION
from services.common.dependencies import Dependency, ask, outside
from services.common.errors import FineTuneFlowError
from services.common.interceptors import Context
from services.common.runtime import Service

PATIENCE_SECONDS = 2.0
ASKING_SECONDS = 8.0
"""How long another service may take to ask what it reaches: five seconds each, all at once."""

log = logging.getLogger(__name__)


class ServerApi(server_service_pb2_grpc.ServerServiceServicer):
    """Says what this server is.

    Args:
        services: that this program serves.
        others: channels to services by name; those served here are not asked.
        stores: service name → the stores that it has open.
    """

    def __init__(
        self,
        services: Sequence[Service],
        others: Mapping[str, grpc.aio.Channel],
        stores: Mapping[str, Sequence[Dependency]],
    ) -> None:
        self._services = services
        self._stores = stores
        own = {service.name for service in services}
        self._others = {name: channel for name, channel in others.items() if name not in own}

    async def GetServerInfo(self, request: pb.GetServerInfoRequest, context: Context) -> pb.GetServerInfoResponse:
        """Return version, services and capabilities. A service that asks is told of this program alone."""
        names = [service.name for service in self._services]
        capabilities = {one for service in self._services for one in service.capabilities}
        if current_principal().kind != "service":
            for info in await asyncio.gather(*(_info(channel) for channel in self._others.values())):
                names += info.services
                capabilities.update(info.capabilities)
        return pb.GetServerInfoResponse(version=VERSION, services=names, capabilities=sorted(capabilities))

    async def CheckDependencies(
        self, request: pb.CheckDependenciesRequest, context: Context
    ) -> pb.CheckDependenciesResponse:
        """Ask everything that is reached. A service that asks is told of this program alone."""
        others = {} if current_principal().kind == "service" else self._others
        own = (self._own(service) for service in self._services)
        theirs = (_dependencies(name, channel) for name, channel in others.items())
        answers = await asyncio.gather(*own, *theirs)
        return pb.CheckDependenciesResponse(dependencies=[one for answer in answers for one in answer])

    async def _own(self, service: Service) -> list[pb.Dependency]:
        reached = list(self._stores[service.name])
        if service.dependencies:
            try:
                reached += await service.dependencies()
            except FineTuneFlowError as error:  # its store is away, which is said of the store
                log.info("%s cannot name what it reaches: %s", service.name, error)
        return [
            pb.Dependency(
                service=service.name,
                what=found.dependency.what,
                address=found.dependency.address,
                outside=outside(found.dependency.address),
                state=pb.Dependency.State.Value(f"STATE_{found.state}"),
                message=found.message,
            )
            for found in await ask(reached)
        ]


def _stub(channel: grpc.aio.Channel) -> server_service_pb2_grpc.ServerServiceAsyncStub:
    return server_service_pb2_grpc.ServerServiceStub(channel)  # type: ignore[return-value]  # the stub of an aio channel is the async one


async def _info(channel: grpc.aio.Channel) -> pb.GetServerInfoResponse:
    try:
        return await _stub(channel).GetServerInfo(pb.GetServerInfoRequest(), timeout=PATIENCE_SECONDS)
    except FineTuneFlowError:
        return pb.GetServerInfoResponse()


async def _dependencies(name: str, channel: grpc.aio.Channel) -> Sequence[pb.Dependency]:
    try:
        found = await _stub(channel).CheckDependencies(pb.CheckDependenciesRequest(), timeout=ASKING_SECONDS)
    except FineTuneFlowError as error:
        failed = pb.Dependency.STATE_FAILS
        return [pb.Dependency(service=name, what="the service itself", state=failed, message=str(error))]
    return found.dependencies
