"""Events on three NATS servers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import nats
import pytest

from services.common.bus import STREAM, Bus
from services.common.errors import Unavailable
from tests.fakes import stores
from tests.fakes.servers import Server, free_ports, started


@pytest.fixture
def three(tmp_path: Path) -> Iterator[list[Server]]:
    """Three nats-servers that form one cluster."""
    ports = free_ports(6)
    routes = ",".join(f"nats://127.0.0.1:{port}" for port in ports[3:])
    with ExitStack() as stack:
        servers = []
        for number, (port, route) in enumerate(zip(ports[:3], ports[3:], strict=True)):
            command = [stores.nats_server(), "-a", "127.0.0.1", "-p", str(port), "--jetstream"]
            command += ["--store_dir", str(tmp_path / f"js{number}"), "--server_name", f"n{number}"]
            command += ["--cluster_name", "test", "--cluster", f"nats://127.0.0.1:{route}", "--routes", routes]
            server = Server(command, port, tmp_path / f"n{number}", {})
            servers.append(stack.enter_context(started(server)))
        yield servers


async def copies(servers: list[Server]) -> int:
    """Return how many servers have all of the stream, and are meant to."""
    client = await nats.connect([f"nats://{server.address}" for server in servers])
    info = await client.jetstream().stream_info(STREAM)
    await client.close()
    others = (info.cluster.replicas if info.cluster else None) or []
    return min(info.config.num_replicas or 1, 1 + sum(bool(peer.current) for peer in others))


async def test_a_stream_gets_more_copies_and_outlives_a_server(three: list[Server]) -> None:
    """A stream of one copy, as an installation began with, becomes one of three; then a server may die."""
    url = ",".join(f"nats://{server.address}" for server in three)
    one = await Bus.connect(url)
    await until_checked(one)
    began_with = await copies(three)
    await one.close()
    bus = await Bus.connect(url, replicas=3)
    await until_checked(bus)
    async with asyncio.timeout(30):
        while (grown := await copies(three)) < 3:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.2)
    three[0].stop()
    await until_published(bus)
    again = await Bus.connect(url)  # one that wants fewer leaves the stream as it is
    await until_checked(again)
    kept = await copies(three[1:])  # the dead one is one of the three, and has not all
    await again.close()
    await bus.close()

    assert (began_with, grown, kept) == (1, 3, 2)


async def repeat(action: Callable[[], Awaitable[None]]) -> None:
    async with asyncio.timeout(60):
        while True:
            try:
                return await action()
            except Unavailable as error:
                if error.reason == "CONFIGURATION" and "too few" not in error.message:
                    raise
            await asyncio.sleep(0.3)


async def until_checked(bus: Bus) -> None:
    """Wait until the cluster has chosen its leader and made the stream."""
    await repeat(bus.check)


async def until_published(bus: Bus) -> None:
    """Publish, while the cluster may be choosing a new leader."""
    await repeat(lambda: bus.publish("ftf.events.x", b"x", "one"))
