"""Documents in one SQLite file: a table per collection, one row per document, its body as JSON.

WAL and synchronous=FULL, so a write that returned survives a kill and a power cut. The file carries the version of this
layout; a file of a newer version is refused rather than guessed at.
"""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from services.common.documents import checked, query
from services.common.documents.port import Document, Where
from services.common.documents.writer import WriterThread
from services.common.errors import (
    AlreadyExists,
    Conflict,
    Exhausted,
    FineTuneFlowError,
    NotReady,
    Unavailable,
)

T = TypeVar("T")

STORE_VERSION = 1
_BUSY_SECONDS = 10.0
_SPARE_BYTES = 1_048_576
_Row = tuple[str, int, str]


class SqliteDocuments:
    """A service's database in one file, for one process at a time.

    Args:
        path: the file; it and its folder are made if missing.

    Raises:
        NotReady: the file was written by a newer version.
        Unavailable: the file cannot be opened, or is not a database.
        Exhausted: the disk is full (DISK_FULL).
    """

    def __init__(self, path: Path | str) -> None:
        self._path = Path(path)
        self._writer = WriterThread(open_connection(self._path), lambda error: explain(error, self._path))

    def collection(self, name: str, indexes: Sequence[str] = ()) -> SqliteCollection:
        """See port.Documents."""
        return SqliteCollection(self._writer, name, indexes)

    async def check(self) -> float:
        """See port.Documents."""

        def touch(connection: sqlite3.Connection) -> None:
            connection.execute("UPDATE meta SET value = value WHERE key = 'store_version'")

        await self._writer.run(touch, writes=True)
        return 0.0

    async def close(self) -> None:
        """See port.Documents."""
        await self._writer.close()


class SqliteCollection:
    """One table; see port.Collection for what the methods promise."""

    def __init__(self, writer: WriterThread, name: str, indexes: Sequence[str]) -> None:
        self._writer = writer
        self._name = name
        self._table = query.table(name)
        self._schema = query.schema(name, indexes)
        self._made = False

    async def insert(self, doc: Document) -> Document:
        """See port.Collection."""
        id, body = checked.identifier(doc), checked.body(doc)

        def operation(connection: sqlite3.Connection) -> Document:
            sql = f"INSERT INTO {self._table} VALUES (?, 1, ?) ON CONFLICT DO NOTHING"
            if connection.execute(sql, (id, body)).rowcount != 1:
                message = f"{self._name} already has {id!r}. Choose another name."
                raise AlreadyExists(message)
            return _document((id, 1, body))

        return await self._run(operation, writes=True)

    async def insert_many(self, docs: Sequence[Document]) -> int:
        """See port.Collection."""
        rows = await asyncio.to_thread(lambda: [(checked.identifier(doc), checked.body(doc)) for doc in docs])

        def operation(connection: sqlite3.Connection) -> int:
            sql = f"INSERT INTO {self._table} VALUES (?, 1, ?) ON CONFLICT DO NOTHING"
            return connection.executemany(sql, rows).rowcount if rows else 0

        return await self._run(operation, writes=True)

    async def get(self, id: str) -> Document | None:
        """See port.Collection."""

        def operation(connection: sqlite3.Connection) -> Document | None:
            row = connection.execute(f"SELECT id, revision, body FROM {self._table} WHERE id = ?", (id,)).fetchone()
            return _document(row) if row else None

        return await self._run(operation, writes=False)

    async def replace(self, doc: Document) -> Document:
        """See port.Collection."""
        id, revision, body = checked.identifier(doc), checked.revision(doc), checked.body(doc)

        def operation(connection: sqlite3.Connection) -> Document:
            sql = f"UPDATE {self._table} SET revision = ?, body = ? WHERE id = ? AND revision = ?"
            if connection.execute(sql, (revision + 1, body, id, revision)).rowcount != 1:
                raise self._changed(id)
            return _document((id, revision + 1, body))

        return await self._run(operation, writes=True)

    async def replace_many(self, docs: Sequence[Document]) -> list[Document]:
        """See port.Collection."""
        rows = await asyncio.to_thread(
            lambda: [(checked.identifier(doc), checked.revision(doc), checked.body(doc)) for doc in docs]
        )

        def operation(connection: sqlite3.Connection) -> list[_Row]:
            sql = f"UPDATE {self._table} SET revision = ?, body = ? WHERE id = ? AND revision = ?"
            return [
                (id, revision + 1, body)
                for id, revision, body in rows
                if connection.execute(sql, (revision + 1, body, id, revision)).rowcount == 1
            ]

        stored = await self._run(operation, writes=True)
        return await asyncio.to_thread(lambda: [_document(row) for row in stored])

    async def find(
        self, where: Where, *, sort: str = "_id", descending: bool = False, limit: int = 0
    ) -> list[Document]:
        """See port.Collection."""
        clause, parameters = query.condition(where)
        sql = f"SELECT id, revision, body FROM {self._table}{clause}{query.ordering(sort, descending)}"
        if limit > 0:
            sql += " LIMIT ?"
            parameters.append(limit)

        def operation(connection: sqlite3.Connection) -> list[Document]:
            return [_document(row) for row in connection.execute(sql, parameters)]

        return await self._run(operation, writes=False)

    async def count(self, where: Where) -> int:
        """See port.Collection."""
        clause, parameters = query.condition(where)

        def operation(connection: sqlite3.Connection) -> int:
            (count,) = connection.execute(f"SELECT count(*) FROM {self._table}{clause}", parameters).fetchone()
            return int(count)

        return await self._run(operation, writes=False)

    async def delete(self, id: str, revision: int = 0) -> bool:
        """See port.Collection."""

        def operation(connection: sqlite3.Connection) -> bool:
            sql = f"DELETE FROM {self._table} WHERE id = ? AND (? = 0 OR revision = ?)"
            if connection.execute(sql, (id, revision, revision)).rowcount == 1:
                return True
            if connection.execute(f"SELECT 1 FROM {self._table} WHERE id = ?", (id,)).fetchone():
                raise self._changed(id)
            return False

        return await self._run(operation, writes=True)

    async def delete_many(self, ids: Sequence[str]) -> int:
        """See port.Collection."""

        def operation(connection: sqlite3.Connection) -> int:
            sql = f"DELETE FROM {self._table} WHERE id = ?"
            return connection.executemany(sql, [(id,) for id in ids]).rowcount if ids else 0

        return await self._run(operation, writes=True)

    async def _run(self, operation: Callable[[sqlite3.Connection], T], *, writes: bool) -> T:
        if not self._made:
            await self._writer.run(self._make, writes=True)
            self._made = True
        return await self._writer.run(operation, writes=writes)

    def _make(self, connection: sqlite3.Connection) -> None:
        for statement in self._schema:
            connection.execute(statement)

    def _changed(self, id: str) -> Conflict:
        return Conflict(f"{id!r} in {self._name} was changed by another. Read it again and repeat.")


def open_connection(path: Path) -> sqlite3.Connection:
    """Open a file for a WriterThread; see SqliteDocuments for the errors."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600, exist_ok=True)
        connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    except (sqlite3.Error, OSError) as error:
        raise explain(error, path) from error
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        _check_version(connection, path)
    except sqlite3.Error as error:
        connection.close()
        raise explain(error, path) from error
    except NotReady:
        connection.close()
        raise
    return connection


def _check_version(connection: sqlite3.Connection, path: Path) -> None:
    connection.execute("CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY NOT NULL, value TEXT NOT NULL)")
    connection.execute("INSERT INTO meta VALUES ('store_version', ?) ON CONFLICT DO NOTHING", (str(STORE_VERSION),))
    (version,) = connection.execute("SELECT value FROM meta WHERE key = 'store_version'").fetchone()
    if int(version) > STORE_VERSION:
        raise NotReady(
            f"{path} was written by a newer FineTuneFlow (store version {version}; this one knows {STORE_VERSION}). "
            "Install the newer version, or use another state folder."
        )


def explain(error: sqlite3.Error | OSError, path: Path) -> FineTuneFlowError:
    """Return the error of ours that an error of SQLite's, or of the file system's, stands for."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL or (code == sqlite3.SQLITE_IOERR and _disk_is_full(path)):
        return Exhausted(f"The disk that holds {path} is full. Free space there and repeat.")
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        message = f"{path} is damaged ({error}). Restore it from a backup, or use another state folder."
    elif code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        message = f"{path} is locked by another process. End that process, then repeat."
    else:
        message = f"{path} cannot be read or written ({error}). Check the disk and the permissions, then repeat."
    return Unavailable(message)


def _disk_is_full(path: Path) -> bool:
    try:
        disk = os.statvfs(path.parent)
    except OSError:
        return False
    return disk.f_bavail * disk.f_frsize < _SPARE_BYTES


def _document(row: _Row) -> Document:
    id, revision, body = row
    return {"_id": id, "revision": revision, **json.loads(body)}
