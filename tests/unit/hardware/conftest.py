"""What tests of model folders share."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from services.hardware.folder import FolderSource


@pytest_asyncio.fixture
async def source() -> AsyncIterator[FolderSource]:
    """The reader of folders."""
    source = FolderSource()
    yield source
    source.close()
