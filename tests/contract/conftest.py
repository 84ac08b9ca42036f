"""Every implementation of a port, so that the same tests run against each: add one by adding a parameter."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from pymongo import MongoClient

from services.common.documents.mongo import MongoDocuments
from services.common.documents.port import Documents
from services.common.documents.sqlite import SqliteDocuments
from services.common.jobs.port import JobRunner
from services.common.jobs.process import ProcessJobs
from services.common.natsserver import NatsServer
from services.common.objects.folder import FolderObjects
from services.common.objects.port import Objects
from tests.fakes import stores
from tests.fakes.servers import started

# Session-wide servers are started by the first test that asks; each test has a database or a bucket of its own.


@pytest.fixture(scope="session")
def mongo_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of MongoDB's protocol: the one that FTF_TEST_MONGO_URL names, or FerretDB."""
    if given := os.environ.get(stores.MONGO_URL):
        yield given
        return
    with started(stores.ferretdb(tmp_path_factory.mktemp("ferretdb"))) as server:
        yield f"mongodb://{server.address}"


@pytest.fixture(params=["sqlite", pytest.param("mongo", marks=pytest.mark.cluster)])
async def documents(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Documents]:
    """An empty document store."""
    if request.param == "sqlite":
        store: Documents = SqliteDocuments(tmp_path / "documents.db")
        yield store
        await store.close()
        return
    url, service = request.getfixturevalue("mongo_url"), f"t{secrets.token_hex(6)}"
    store = await MongoDocuments.open(url, service)
    yield store
    await store.close()
    with MongoClient[dict[str, object]](url) as client:
        client.drop_database(f"finetuneflow_{service}")


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
