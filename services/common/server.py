"""A program of one or more services behind one port."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from finetuneflow.common.v1 import server_service_pb2, server_service_pb2_grpc, worker_service_pb2_grpc
from services.common.auth import Authenticator, Principal, Signer
from services.common.bus import Bus
from services.common.channels import MAX_MESSAGE, Peers
from services.common.clock import SystemClock
from services.common.config import SERVICES, VERSION, Config
from services.common.errors import Unavailable
from services.common.interceptors import Context, Interceptor
from services.common.jobs.port import JobRunner
from services.common.runtime import Compose, Runtime, Service
from services.common.secretfiles import Secrets
from services.common.stores import open_documents, open_objects
from services.common.telemetry import serve_metrics
from services.common.waiting import end
from services.common.worker import WorkerApi

log = logging.getLogger(__name__)

GRACE_SECONDS = 3.0
_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE),
    ("grpc.max_send_message_length", MAX_MESSAGE),
    # Two servers on one port would each see half of the calls.
    ("grpc.so_reuseport", 0),
)


class ServerApi(server_service_pb2_grpc.ServerServiceServicer):
    """Says what this server is."""

    def __init__(self, services: Sequence[Service]) -> None:
        self._services = services

    async def GetServerInfo(
        self, request: server_service_pb2.GetServerInfoRequest, context: Context
    ) -> server_service_pb2.GetServerInfoResponse:
        """Return version, services and capabilities."""
        return server_service_pb2.GetServerInfoResponse(
            version=VERSION,
            services=[s.name for s in self._services],
            capabilities=sorted(c for s in self._services for c in s.capabilities),
        )


class Program:
    """Services that serve: what `running` yields.

    Args:
        address: host:port where they answer.
    """

    def __init__(self, address: str, services: Sequence[Service]) -> None:
        self.address = address
        self.services = services
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def fail(self, error: BaseException) -> None:
        """End `failed` with an error; the first counts."""
        if not self._failed.done():
            self._failed.set_exception(error)

    async def failed(self) -> None:
        """Wait for ever, or until a task of a service ends; then raise its error."""
        await asyncio.shield(self._failed)

    async def shut_down(self) -> None:
        """Let each service put its outside work to rest while it can still be reached."""
        for service in self.services:
            if service.shutdown:
                await service.shutdown()


@contextlib.asynccontextmanager
async def running(
    config: Config, tokens: Mapping[str, str], composes: Mapping[str, Compose], jobs: JobRunner
) -> AsyncIterator[Program]:
    """Serve the given services until the block ends.

    Args:
        tokens: user tokens: name → token.
        composes: service name → its compose function.

    Raises:
        Unavailable: the port is taken.
        FineTuneFlowError: a store cannot be opened.
    """
    async with contextlib.AsyncExitStack() as stack:
        secrets = Secrets(config.state / "secrets")
        signer = Signer(secrets.key("signing.key"))
        server = grpc.aio.server(interceptors=[Interceptor(Authenticator(tokens, signer))], options=_OPTIONS)
        address = _bind(server, config.listen)
        if config.metrics:
            stack.callback(serve_metrics(config.metrics))
        bus = await Bus.connect(config.nats)
        stack.push_async_callback(bus.close)
        compose_all = _composer(stack, config, jobs, bus, secrets, signer, address)
        services = [await compose_all(name, compose) for name, compose in composes.items()]
        checker = _register(server, services)
        program = Program(address, services)
        await server.start()
        stack.push_async_callback(server.stop, GRACE_SECONDS)
        await stack.enter_async_context(_tasks(program))
        for service in services:
            for full_name in service.full_names:
                await checker.set(full_name, health_pb2.HealthCheckResponse.SERVING)
        await checker.set("", health_pb2.HealthCheckResponse.SERVING)
        yield program
        await checker.enter_graceful_shutdown()


def _composer(
    stack: contextlib.AsyncExitStack,
    config: Config,
    jobs: JobRunner,
    bus: Bus,
    secrets: Secrets,
    signer: Signer,
    address: str,
) -> Callable[[str, Compose], Awaitable[Service]]:
    """Return how a service is composed; what is opened for it is closed with the stack."""

    async def compose_one(name: str, compose: Compose) -> Service:
        documents = await open_documents(config.documents, name)
        stack.push_async_callback(documents.close)
        peers = Peers({s: config.addresses.get(s, address) for s in SERVICES}, signer.sign(Principal(name, "service")))
        stack.push_async_callback(peers.close)
        objects = open_objects(config.objects)
        own = config.addresses.get(name, address)
        return compose(Runtime(config, documents, objects, bus, jobs, peers, SystemClock(), secrets, signer, own))

    return compose_one


def _bind(server: grpc.aio.Server, listen: str) -> str:
    host, _, port = listen.rpartition(":")
    try:
        bound = server.add_insecure_port(listen)
    except RuntimeError:
        bound = 0
    if not bound:
        raise Unavailable(
            f"Port {port} on {host} is taken. End the program that has it, or choose another with --port."
        )
    return f"{host}:{bound}"


def _register(server: grpc.aio.Server, services: Sequence[Service]) -> health.aio.HealthServicer:
    checker = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(checker, server)
    server_service_pb2_grpc.add_ServerServiceServicer_to_server(ServerApi(services), server)
    for service in services:
        service.register(server)
    names = [name for service in services for name in service.full_names]
    hosts = [service.worker_host for service in services if service.worker_host]
    if hosts:
        worker_service_pb2_grpc.add_WorkerServiceServicer_to_server(WorkerApi(hosts), server)
        names.append("finetuneflow.common.v1.WorkerService")
    names += ["finetuneflow.common.v1.ServerService", health.SERVICE_NAME, reflection.SERVICE_NAME]
    reflection.enable_server_reflection(names, server)
    return checker


@contextlib.asynccontextmanager
async def _tasks(program: Program) -> AsyncIterator[None]:
    """Run every service's tasks while the block runs; one that ends by itself is a failure of the program."""
    tasks = [asyncio.ensure_future(task()) for service in program.services for task in service.tasks]

    def ended(task: asyncio.Future[None]) -> None:
        if not task.cancelled():
            program.fail(task.exception() or RuntimeError("a task of a service ended"))

    for task in tasks:
        task.add_done_callback(ended)
    try:
        yield
    finally:
        await end(tasks)
        for service in program.services:
            if service.close:
                await service.close()
