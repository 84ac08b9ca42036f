"""Stores by URL: the one place that knows which kinds there are."""

from __future__ import annotations

import asyncio
from pathlib import Path

from services.common.documents.port import Documents
from services.common.documents.sqlite import SqliteDocuments
from services.common.errors import InvalidArgument
from services.common.objects.folder import FolderObjects
from services.common.objects.port import Objects


async def open_documents(url: str, service: str) -> Documents:
    """Open a service's document store: sqlite:///folder/{service}.db

    Raises:
        InvalidArgument: the URL's scheme is not known.
        NotReady: a newer version of FineTuneFlow wrote the store.
    """
    scheme, _, path = url.replace("{service}", service).partition("://")
    if scheme != "sqlite":
        raise InvalidArgument(f'Documents cannot be kept at a "{scheme}" URL. Use sqlite:///path.')
    return await asyncio.to_thread(SqliteDocuments, Path(path))


def open_objects(url: str) -> Objects:
    """Open the object store: file:///folder

    Raises:
        InvalidArgument: the URL's scheme is not known.
    """
    scheme, _, path = url.partition("://")
    if scheme != "file":
        raise InvalidArgument(f'Objects cannot be kept at a "{scheme}" URL. Use file:///path.')
    return FolderObjects(Path(path))
