"""Where installations keep documents and objects, and how an operator copies either while services work on them."""

from __future__ import annotations

import secrets
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol

import pymongo
from minio import Minio
from minio.commonconfig import CopySource

from tests.fakes.stores import S3


class Kept(Protocol):
    """The stores of one installation.

    Args:
        settings: fields of Config that name them; the others follow from the state folder.
    """

    settings: dict[str, Any]

    def copy_documents(self, there: Any) -> None:
        """Copy each service's documents to other stores of the same kind."""

    def copy_objects(self, there: Any) -> None:
        """Copy all objects to other stores of the same kind."""


class OnDisk:
    """SQLite files and a folder."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.settings: dict[str, Any] = {}

    def copy_documents(self, there: OnDisk) -> None:
        """Copy each file as it is at one moment."""
        (there.state / "documents").mkdir(parents=True)
        for path in (self.state / "documents").glob("*.db"):
            copy = there.state / "documents" / path.name
            with closing(sqlite3.connect(path)) as old, closing(sqlite3.connect(copy)) as new:
                old.backup(new)

    def copy_objects(self, there: OnDisk) -> None:
        """Copy the folder."""
        shutil.copytree(self.state / "objects", there.state / "objects")


class OnServers:
    """A server of MongoDB's protocol, and a bucket.

    Args:
        mongo: the server's URL.
        s3: the bucket, fresh, is made on it.
    """

    def __init__(self, mongo: str, s3: S3) -> None:
        self._mongo, self._s3, self._bucket = mongo, s3, f"b{secrets.token_hex(6)}"
        self.settings: dict[str, Any] = {"documents": mongo, "objects": s3.bucket(self._bucket), "object_keys": s3.keys}

    def copy_documents(self, there: OnServers) -> None:
        """Copy database by database, as mongodump does without an oplog."""
        clients = pymongo.MongoClient[dict[str, Any]](self._mongo), pymongo.MongoClient[dict[str, Any]](there._mongo)
        with closing(clients[0]) as old, closing(clients[1]) as new:
            for name in (name for name in old.list_database_names() if name.startswith("finetuneflow_")):
                for collection in old[name].list_collection_names():
                    if found := list(old[name][collection].find()):
                        new[name][collection].insert_many(found)

    def copy_objects(self, there: OnServers) -> None:
        """Copy object by object, with their metadata."""
        client = Minio(self._s3.address, *self._s3.keys, secure=False, region="us-east-1")
        for found in client.list_objects(self._bucket, recursive=True):
            key = str(found.object_name)
            client.copy_object(there._bucket, key, CopySource(self._bucket, key))
