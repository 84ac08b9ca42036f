"""Every implementation of a port, so that the same tests run against each: add one by adding a parameter."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from services.common.documents.port import Documents
from services.common.documents.sqlite import SqliteDocuments
from services.common.jobs.port import JobRunner
from services.common.jobs.process import ProcessJobs
from services.common.natsserver import NatsServer
from services.common.objects.folder import FolderObjects
from services.common.objects.port import Objects


@pytest.fixture(params=["sqlite"])
async def documents(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Documents]:
    """An empty document store."""
    store = SqliteDocuments(tmp_path / "documents.db")
    yield store
    await store.close()


@pytest.fixture(params=["folder"])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> Objects:
    """An empty object store."""
    return FolderObjects(tmp_path / "objects")


@pytest.fixture(params=["process"])
async def open_jobs(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Callable[[], JobRunner]]:
    """Opens a runner of one Job at a time, always over the same Jobs; their arguments are a Python program."""
    opened: list[ProcessJobs] = []

    def open_runner() -> JobRunner:
        runner = ProcessJobs(
            tmp_path / "runner",
            {"FTF_ADDRESS": "127.0.0.1:1"},
            command=(sys.executable, "-I", "-S", "-u", "-c"),
            environ={
                "PATH": os.environ["PATH"],
                "HF_HUB_OFFLINE": "1",
                "HF_TOKEN": "hub-secret",
                "FTF_TOKEN": "user-secret",
            },
        )
        opened.append(runner)
        return runner

    yield open_runner
    for runner in opened:
        await runner.close()
    for status in await opened[-1].list() if opened else []:
        await opened[-1].stop(status.name, 0)


@pytest.fixture
async def nats_server(tmp_path: Path) -> AsyncIterator[NatsServer]:
    """A real nats-server."""
    server = NatsServer(tmp_path / "nats")
    await server.start()
    yield server
    await server.stop()
