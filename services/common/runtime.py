"""What a service is given, what it gives back, and the program around it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import grpc

from services.common.auth import Signer
from services.common.bus import Bus
from services.common.channels import Peers
from services.common.clock import Clock
from services.common.config import Config
from services.common.dependencies import Dependency
from services.common.documents.port import Documents
from services.common.jobs.port import JobRunner
from services.common.objects.port import Objects
from services.common.secretfiles import Secrets
from services.common.worker import WorkerHost


@dataclass(frozen=True)
class Runtime:
    """Everything from outside that a service may use.

    Args:
        documents: this service's own store.
        address: host:port at which Jobs reach the worker contract; known once the server listens.
        own_address: host:port of this very program, where others of the same service may be at `address`, too.
    """

    config: Config
    documents: Documents
    objects: Objects
    bus: Bus
    jobs: JobRunner
    peers: Peers
    clock: Clock
    secrets: Secrets
    signer: Signer
    address: str
    own_address: str


@dataclass(frozen=True)
class Service:
    """A composed service.

    Args:
        register: adds its servicers to a server.
        full_names: protobuf names of its services, for reflection and health.
        tasks: run from start to end of the program; one that returns or raises ends the program.
        capabilities: what a client may ask for, for GetServerInfo.
        worker_host: what answers the trainers of this service's Jobs.
        close: called before the stores are closed.
        dependencies: names what it reaches besides its stores and NATS, for CheckDependencies.
    """

    name: str
    register: Callable[[grpc.aio.Server], None]
    full_names: Sequence[str] = ()
    tasks: Sequence[Callable[[], Awaitable[None]]] = ()
    capabilities: Sequence[str] = ()
    worker_host: WorkerHost | None = None
    close: Callable[[], Awaitable[None]] | None = None
    shutdown: Callable[[], Awaitable[None]] | None = field(default=None)
    dependencies: Callable[[], Awaitable[Sequence[Dependency]]] | None = None


Compose = Callable[[Runtime], Service]
