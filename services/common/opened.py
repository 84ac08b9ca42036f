"""What is opened for the services of one program, and closed with it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Awaitable, Callable, Mapping

import grpc

from services.common.auth import Signer
from services.common.bus import Bus
from services.common.callers import own_token
from services.common.channels import Peers
from services.common.clock import SystemClock
from services.common.config import SERVICES, Config
from services.common.dependencies import Dependency, shown
from services.common.documents.port import Documents
from services.common.errors import Unavailable
from services.common.jobs.port import JobRunner
from services.common.objects.port import Objects
from services.common.outside import KINDS
from services.common.ownership import claim
from services.common.runtime import Compose, Runtime, Service
from services.common.secretfiles import Secrets
from services.common.startup import check
from services.common.stores import open_documents, open_objects


class Opened:
    """Stores and channels of the services of one program.

    Args:
        address: host:port where the program answers.
    """

    def __init__(
        self, config: Config, jobs: JobRunner, bus: Bus, secrets: Secrets, signer: Signer, address: str
    ) -> None:
        self._config = config
        self._jobs = jobs
        self._bus = bus
        self._secrets = secrets
        self._signer = signer
        self._address = address
        self._stack = contextlib.AsyncExitStack()
        self._peers: Peers | None = None
        self.checks: dict[str, Callable[[], Awaitable[bool]]] = {"NATS": self._connected}
        self.needed: set[str] = set()
        self.stores: dict[str, list[Dependency]] = {}

    async def compose(self, name: str, compose: Compose) -> Service:
        """Open what a service needs and compose it.

        Raises:
            FineTuneFlowError: a store cannot be opened or used, see startup.check.
        """
        config = self._config
        documents = await open_documents(config.documents, name)
        self._stack.push_async_callback(documents.close)
        objects = open_objects(config.objects, config.object_keys)
        await check(documents, objects, self._bus)
        await self._own(name, documents)
        self.checks[f"the documents of {name}"] = lambda: _documents_answer(documents)
        self.needed.add(f"the documents of {name}")
        self.checks["the object store"] = lambda: _objects_answer(objects)
        self.stores[name] = self._reached(name, documents, objects)
        addresses = {s: config.addresses.get(s, self._address) for s in SERVICES}
        peers = Peers(addresses, own_token(config, self._signer, name))
        self._stack.push_async_callback(peers.close)
        self._peers = self._peers or peers
        return compose(
            Runtime(
                config,
                documents,
                objects,
                self._bus,
                self._jobs,
                peers,
                SystemClock(),
                self._secrets,
                self._signer,
                addresses[name],
                self._address,
            )
        )

    async def _own(self, name: str, documents: Documents) -> None:
        """See that no other installation launches Jobs for these documents."""
        if self._launches(name):
            # Imported here, for the client of Kubernetes is no part of an installation on one machine.
            from services.common.kube.client import own_namespace

            installation = f"{await own_namespace()}/{self._config.release}"
            await claim(documents, installation, self._config.take_over)

    def _launches(self, name: str) -> bool:
        return self._config.jobs == "kubernetes" and name in KINDS

    @property
    def others(self) -> Mapping[str, grpc.aio.Channel]:
        """Channels to the services that have an address of their own, by name."""
        peers = self._peers
        return {name: peers.channel(name) for name in self._config.addresses} if peers else {}

    async def close(self) -> None:
        """Close everything."""
        await self._stack.aclose()

    async def _connected(self) -> bool:
        return self._bus.connected

    def _reached(self, name: str, documents: Documents, objects: Objects) -> list[Dependency]:
        config = self._config

        async def nats() -> str:
            await self._bus.check()
            if not self._bus.connected:
                raise Unavailable(f"{self._bus.silence}. Start it, or correct its URL; events wait for it meanwhile.")
            return "keeps events"

        jobs: list[Dependency] = []
        if self._launches(name):
            # Imported here, for the client of Kubernetes is no part of an installation on one machine.
            from services.common.kube.reached import reached

            jobs = reached(config.job_template, os.environ)
        return [
            *jobs,
            Dependency("document store", shown(config.documents.replace("{service}", name)), lambda: _clock(documents)),
            Dependency("object store", shown(config.objects), lambda: _clock(objects)),
            Dependency("NATS", shown(config.nats), nats),
        ]


async def _clock(store: Documents | Objects) -> str:
    ahead = await store.check()
    return f"takes writes; its clock is {abs(ahead):.1f} s {'ahead' if ahead >= 0 else 'behind'}"


async def _documents_answer(documents: Documents) -> bool:
    await documents.collection("readiness").get("readiness")
    return True


async def _objects_answer(objects: Objects) -> bool:
    await objects.size("readiness")
    return True
