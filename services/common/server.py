"""A program of one or more services behind one port."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence

import grpc
from grpc_health.v1 import health, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from finetuneflow.common.v1 import server_service_pb2_grpc, worker_service_pb2_grpc
from services.common.auth import Signer, TokenSource
from services.common.bus import Bus
from services.common.callers import authenticator, own_key
from services.common.channels import MAX_MESSAGE
from services.common.config import Config
from services.common.errors import FineTuneFlowError, Unavailable
from services.common.interceptors import Interceptor
from services.common.jobs.port import JobRunner
from services.common.opened import Opened
from services.common.readiness import Readiness
from services.common.reflected import served_elsewhere
from services.common.runtime import Compose, Service
from services.common.secretfiles import Secrets
from services.common.serverinfo import ServerApi
from services.common.telemetry import serve_metrics
from services.common.waiting import end
from services.common.worker import WorkerApi

log = logging.getLogger(__name__)

_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE),
    ("grpc.max_send_message_length", MAX_MESSAGE),
    # Two servers on one port would each see half of the calls.
    ("grpc.so_reuseport", 0),
    # Clients may ask whether this machine is still there; connections are made anew now and then, for there may be
    # more replicas by then. Calls under way go on.
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.max_connection_age_ms", 600_000),
)


SWITCH_SECONDS = 0.0005
"""How long a thread may hold the interpreter while others wait, in place of 5 ms: the event loop lets go of it with
each message that it sends, and would wait so long each time while a thread checks replies or reads documents."""


class Program:
    """Services that serve: what `running` yields.

    Args:
        address: host:port where they answer.
    """

    def __init__(self, address: str, services: Sequence[Service], readiness: Readiness) -> None:
        self.address = address
        self.readiness = readiness
        self.services = services
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def fail(self, error: BaseException) -> None:
        """End `failed` with an error; the first counts."""
        if not self._failed.done():
            self._failed.set_exception(error)

    async def failed(self) -> None:
        """Wait for ever, or until a task of a service ends; then raise its error."""
        await asyncio.shield(self._failed)

    async def leave(self) -> None:
        """Say that this program is not ready any more, so that no new call is sent to it; what runs goes on."""
        await self.readiness.leave()

    async def shut_down(self) -> None:
        """Let each service put its outside work to rest while it can still be reached; one that cannot says so."""
        for service in self.services:
            if service.shutdown:
                try:
                    await service.shutdown()
                except FineTuneFlowError as error:
                    log.warning("The %s service leaves work behind: %s", service.name, error)


@contextlib.asynccontextmanager
async def running(
    config: Config,
    tokens: Mapping[str, str],
    composes: Mapping[str, Compose],
    jobs: JobRunner,
    issuers: Sequence[TokenSource] = (),
) -> AsyncIterator[Program]:
    """Serve the given services until the block ends.

    At the end, streams end with UNAVAILABLE, and other calls have some seconds to end by themselves.

    Args:
        tokens: user tokens: name → token.
        composes: service name → its compose function.
        issuers: further places that tokens come from.

    Raises:
        Unavailable: the port is taken.
        FineTuneFlowError: a store cannot be opened.
    """
    sys.setswitchinterval(SWITCH_SECONDS)
    async with contextlib.AsyncExitStack() as stack:
        secrets = Secrets(config.state / "secrets")
        signer = Signer(own_key(config, secrets))
        interceptor = Interceptor(authenticator(config, tokens, signer, issuers))
        server = grpc.aio.server(interceptors=[interceptor], options=_OPTIONS)
        address = _bind(server, config.listen)
        if config.metrics:
            stack.callback(serve_metrics(config.metrics))
        bus = await Bus.connect(config.nats, replicas=config.nats_replicas)
        stack.push_async_callback(bus.close)
        opened = Opened(config, jobs, bus, secrets, signer, address)
        stack.push_async_callback(opened.close)
        services = [await opened.compose(name, compose) for name, compose in composes.items()]
        checker = _register(server, services, ServerApi(services, opened.others, opened.stores), config.addresses)
        names = [full_name for s in services for full_name in s.full_names]
        readiness = Readiness(checker, names, opened.checks, opened.needed)
        program = Program(address, services, readiness)
        await readiness.begin()
        await server.start()
        stack.push_async_callback(server.stop, config.drain_seconds)
        await stack.enter_async_context(_tasks(program))
        await readiness.look()
        yield program
        await readiness.leave()
        interceptor.drain()
        # Before the services' own tasks and stores end, on which calls under way may depend.
        await server.stop(config.drain_seconds)


def _bind(server: grpc.aio.Server, listen: str) -> str:
    host, _, port = listen.rpartition(":")
    try:
        bound = server.add_insecure_port(listen)
    except RuntimeError:
        bound = 0
    if not bound:
        raise Unavailable(
            f"Port {port} on {host} cannot be had: it is taken, or {host} is no address of this machine. End the "
            "program that has it, or choose another: --port of `ftf up`, FTF_LISTEN of a service."
        )
    return f"{host}:{bound}"


def _register(
    server: grpc.aio.Server, services: Sequence[Service], api: ServerApi, elsewhere: Iterable[str]
) -> health.aio.HealthServicer:
    checker = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(checker, server)
    server_service_pb2_grpc.add_ServerServiceServicer_to_server(api, server)
    for service in services:
        service.register(server)
    names = [name for service in services for name in service.full_names]
    hosts = [service.worker_host for service in services if service.worker_host]
    if hosts:
        worker_service_pb2_grpc.add_WorkerServiceServicer_to_server(WorkerApi(hosts), server)
        names.append("finetuneflow.common.v1.WorkerService")
    names += ["finetuneflow.common.v1.ServerService", health.SERVICE_NAME, reflection.SERVICE_NAME]
    names += [name for name in served_elsewhere(elsewhere) if name not in names]
    reflection.enable_server_reflection(names, server)
    return checker


@contextlib.asynccontextmanager
async def _tasks(program: Program) -> AsyncIterator[None]:
    """Run every service's tasks while the block runs; one that ends by itself is a failure of the program."""
    tasks = [asyncio.ensure_future(task()) for service in program.services for task in service.tasks]
    tasks.append(asyncio.ensure_future(program.readiness.run()))

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
