"""How a service ends that serves: what it does outside is put to rest while it can still be reached."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.common import main
from services.common.config import Config
from services.common.errors import Unavailable
from services.common.jobs.port import JobRunner
from services.common.jobs.process import ProcessJobs
from services.common.natsserver import NatsServer
from services.common.outside import Outside
from services.common.runtime import Runtime, Service
from tests.fakes.chats import Cluster


@pytest.mark.parametrize("where", ["machine", "cluster"])
@pytest.mark.parametrize("how", ["rests", "fails"])
async def test_a_service_puts_its_work_to_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, how: str
) -> None:
    """Wherever its Jobs are; one that cannot ends all the same."""
    jobs: JobRunner = ProcessJobs(tmp_path / "jobs") if where == "machine" else Cluster()  # type: ignore[assignment]
    rested, stop, ready = [], asyncio.Event(), asyncio.Event()

    @contextlib.asynccontextmanager
    async def outside(name: str, config: Config) -> AsyncIterator[Outside]:
        yield Outside({}, (), jobs)

    def compose(runtime: Runtime) -> Service:
        async def rest() -> None:
            rested.append(runtime.address)
            if how == "fails":
                raise Unavailable("A store is away. Wait.")

        return Service("training", register=lambda server: None, shutdown=rest)

    monkeypatch.setattr(main, "outside", outside)
    nats = NatsServer(tmp_path / "nats")
    await nats.start()
    config = Config(tmp_path, f"sqlite://{tmp_path}/x.db", f"file://{tmp_path}/objects", nats.url)
    stop.set()
    await main._serve_until(stop, ready, "training", compose, config)
    await nats.stop()

    assert ready.is_set()
    assert len(rested) == 1
