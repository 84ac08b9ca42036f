"""Two installations on one nats-server, each in an account of its own, as docs/cluster.md shows it."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

from services.common.bus import Bus
from tests.fakes import stores
from tests.fakes.servers import Server, free_ports, started
from tests.unit.docs.pages import ROOT, blocks


def configuration(folder: Path) -> Path:
    """Return a file with the configuration of the page, which keeps its data beside it."""
    (found,) = [
        b.text for b in blocks(ROOT / "docs" / "cluster.md") if b.run_by == "tests/service/test_nats_accounts.py"
    ]
    path = folder / "nats.conf"
    path.write_text(found.replace("nats-data", str(folder / "data")), encoding="utf-8")
    return path


async def first(bus: Bus) -> bytes:
    """Return the first event that a new consumer is handed."""
    heard: asyncio.Queue[bytes] = asyncio.Queue()

    consuming = asyncio.create_task(bus.consume("training", ["ftf.events.>"], heard.put))
    try:
        return await asyncio.wait_for(heard.get(), 20)
    finally:
        consuming.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await consuming


async def test_an_account_hears_its_own_events_alone(tmp_path: Path) -> None:
    """Streams and subjects are called the same in both, and are two."""
    (port,) = free_ports(1)
    command = [stores.nats_server(), "-a", "127.0.0.1", "-p", str(port), "-c", str(configuration(tmp_path))]
    with started(Server(command, port, tmp_path / "nats", {})) as server:
        one, other = [
            await Bus.connect(f"nats://team-{team}:PASSWORD-{team.upper()}@{server.address}") for team in "ab"
        ]
        for bus, told in ((one, b"of a"), (other, b"of b")):
            await bus.check()
            await bus.publish("ftf.events.x", told, "the same id")
        heard = [await first(bus) for bus in (one, other)]
        for bus in (one, other):
            await bus.close()

    assert heard == [b"of a", b"of b"]
