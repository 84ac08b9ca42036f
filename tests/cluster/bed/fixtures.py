"""Fixtures of the bed, for every test that is marked `cluster`."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cluster.bed.cluster import Bed, Cluster
    from tests.cluster.bed.stores import Stores


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """One control plane with DNS for all tests. It needs the namespaces that `make test-cluster` makes."""
    if not os.environ.get("FTF_IN_BED"):
        pytest.fail("tests marked cluster run inside the namespaces of the bed: make test-cluster", pytrace=False)
    from tests.cluster.bed.cluster import Cluster

    found = Cluster()
    try:
        found.start()
        yield found
    finally:
        found.stop()


@pytest.fixture(scope="session")
def stores(cluster: Cluster) -> Stores:
    """FerretDB, MinIO and NATS, running; tests that stop one start it again."""
    cluster.stores.start()
    return cluster.stores


@pytest.fixture
async def bed(cluster: Cluster) -> AsyncIterator[Bed]:
    """The cluster in the test's own event loop; the test's namespaces go with it."""
    from tests.cluster.bed.cluster import Bed

    async with Bed(cluster) as found:
        yield found
