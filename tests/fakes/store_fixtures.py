"""Real stores that are started by the first test that asks for one, for all tests; each makes a database or bucket."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.fakes import stores
from tests.fakes.servers import started


@pytest.fixture(scope="session")
def mongo_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of MongoDB's protocol: the one that FTF_TEST_MONGO_URL names, or FerretDB."""
    if given := os.environ.get(stores.MONGO_URL):
        yield given
        return
    with started(stores.ferretdb(tmp_path_factory.mktemp("ferretdb"))) as server:
        yield f"mongodb://{server.address}"


@pytest.fixture(scope="session")
def minio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[stores.S3]:
    """MinIO."""
    with started(stores.minio(tmp_path_factory.mktemp("minio"))) as server:
        yield stores.S3(server.address)


@pytest.fixture(scope="session")
def seaweedfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[stores.S3]:
    """SeaweedFS."""
    with started(stores.seaweedfs(tmp_path_factory.mktemp("seaweedfs"))) as server:
        yield stores.S3(server.address)
