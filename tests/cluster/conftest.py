"""Fixtures of the tests of the bed itself."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest

from tests.cluster.manifests import IMAGE

if TYPE_CHECKING:
    from tests.cluster.bed.cluster import Bed
    from tests.cluster.bed.nodes import BedNode


@pytest.fixture
async def node(bed: Bed) -> AsyncIterator[BedNode]:
    """A node without GPUs, and an image that runs any command."""
    bed.image(IMAGE)
    async with bed.kubelet() as found:
        yield found


@pytest.fixture
async def space(bed: Bed) -> str:
    """A namespace of the restricted Pod Security Standard."""
    return await bed.namespace()
