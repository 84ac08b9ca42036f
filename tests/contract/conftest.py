"""Every implementation of a port, so that the same tests run against each: add one by adding a parameter."""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pymongo import MongoClient

from services.common.documents.mongo import MongoDocuments
from services.common.documents.port import Collection, Documents
from services.common.documents.sqlite import SqliteDocuments
from services.common.jobs.port import JobRunner
from services.common.jobs.process import ProcessJobs
from services.common.natsserver import NatsServer
from services.common.objects.folder import FolderObjects
from services.common.objects.port import Objects
from services.common.objects.s3 import S3Objects
from tests.fakes import stores

if TYPE_CHECKING:
    from tests.cluster.bed.cluster import Bed


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


@pytest.fixture(params=["folder", "seaweedfs", pytest.param("minio", marks=pytest.mark.cluster)])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> Objects:
    """An empty object store."""
    if request.param == "folder":
        return FolderObjects(tmp_path / "objects")
    server: stores.S3 = request.getfixturevalue(request.param)
    return S3Objects(server.bucket(f"b{secrets.token_hex(6)}"), server.keys)


OpenJobs = Callable[[], JobRunner]
PYTHON = (sys.executable, "-I", "-S", "-u", "-c")


@pytest.fixture(params=["process", pytest.param("kubernetes", marks=pytest.mark.cluster)])
def open_jobs(request: pytest.FixtureRequest) -> OpenJobs:
    """Opens a runner of Jobs, always over the same Jobs; their arguments are a Python program."""
    opener: OpenJobs = request.getfixturevalue(f"open_{request.param}_jobs")
    return opener


@pytest.fixture
async def open_process_jobs(tmp_path: Path) -> AsyncIterator[OpenJobs]:
    """Jobs as processes of this machine, one at a time."""
    opened: list[ProcessJobs] = []

    def open_runner() -> JobRunner:
        runner = ProcessJobs(
            tmp_path / "runner",
            {"FTF_ADDRESS": "127.0.0.1:1"},
            command=PYTHON,
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
async def open_kubernetes_jobs(bed: Bed, tmp_path: Path) -> AsyncIterator[OpenJobs]:
    """Jobs of a namespace of a real cluster, with one node that has room for them."""
    from services.common.kube.jobs import KubernetesJobs
    from services.common.kube.template import JobTemplate

    namespace = await bed.namespace()
    bed.image("finetuneflow/contract")
    template = JobTemplate("finetuneflow/contract:1", command=PYTHON, backoff_limit=0)
    opened: list[KubernetesJobs] = []
    starting: list[asyncio.Task[None]] = []

    def open_runner() -> JobRunner:
        objects = FolderObjects(tmp_path / "logs")
        runner = KubernetesJobs(bed.api, template, objects, "contract", namespace=namespace)
        opened.append(runner)
        starting.append(asyncio.create_task(runner.start()))
        return runner

    async with bed.kubelet():
        yield open_runner
        await asyncio.gather(*starting)
        for runner in opened:
            await runner.close()


@pytest.fixture
async def nats_server(tmp_path: Path) -> AsyncIterator[NatsServer]:
    """A real nats-server."""
    server = NatsServer(tmp_path / "nats")
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
def things(documents: Documents) -> Collection:
    """An empty collection with simple, nested and joined indexes."""
    return documents.collection("things", ["state", "work.state", "parent,order"])
