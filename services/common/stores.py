"""Stores by URL: the one place that knows which kinds there are. Drivers are loaded for the kind that is asked for."""

from __future__ import annotations

import asyncio
from pathlib import Path

from services.common.documents.port import Documents
from services.common.documents.sqlite import SqliteDocuments
from services.common.errors import InvalidArgument
from services.common.objects.folder import FolderObjects
from services.common.objects.port import Objects


async def open_documents(url: str, service: str) -> Documents:
    """Open a service's document store: sqlite:///folder/{service}.db, mongodb://host:port or mongodb+srv://host

    MongoDB is connected at its first use.

    Raises:
        InvalidArgument: the URL is malformed, or its scheme is not known (CONFIGURATION).
        NotReady: a newer version of FineTuneFlow wrote the store.
        Unavailable: SQLite's file cannot be opened.
    """
    scheme, _, path = url.replace("{service}", service).partition("://")
    if scheme == "sqlite" and path:
        return await asyncio.to_thread(SqliteDocuments, Path(path))
    if scheme in ("mongodb", "mongodb+srv"):
        try:
            from services.common.documents.mongo import MongoDocuments
        except ImportError as error:
            raise _missing("motor", error) from error
        return await MongoDocuments.open(url, service)
    raise _unknown("Documents", scheme, "sqlite:///path, mongodb://host:port or mongodb+srv://host")


def open_objects(url: str, keys: tuple[str, str] = ("", "")) -> Objects:
    """Open the object store: file:///folder, or s3://host:port/bucket?secure=true&region=us-east-1

    Args:
        url: where it is.
        keys: access key and secret key of S3; a folder needs none.

    Raises:
        InvalidArgument: the URL is malformed, or its scheme is not known (CONFIGURATION).
        Unavailable: the folder cannot be made or read.
    """
    scheme, _, path = url.partition("://")
    if scheme == "file" and path:
        return FolderObjects(Path(path))
    if scheme == "s3":
        try:
            from services.common.objects.s3 import S3Objects
        except ImportError as error:
            raise _missing("minio", error) from error
        return S3Objects(url, keys)
    raise _unknown("Objects", scheme, "file:///path or s3://host:port/bucket")


def _unknown(what: str, scheme: str, remedy: str) -> InvalidArgument:
    # A URL without :// may begin with anything, so that its beginning is not shown.
    kind = f'at a "{scheme}" URL' if scheme.isalnum() and len(scheme) < 10 else "there"
    return InvalidArgument(f"{what} cannot be kept {kind}. Use {remedy}.", reason="CONFIGURATION")


def _missing(package: str, error: ImportError) -> InvalidArgument:
    message = f"The package {package} is missing ({error.name}). Run `pip install {package}`."
    return InvalidArgument(message, reason="CONFIGURATION")
