"""What the SQLite store promises beyond the port: durability, isolation of what is committed together, refusals."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.common.documents import query
from services.common.documents.sqlite import STORE_VERSION, SqliteDocuments, explain, open_connection
from services.common.documents.writer import WriterThread
from services.common.errors import Conflict, Exhausted, NotReady, Unavailable

INSERT_FOREVER = """
import asyncio, itertools, sys
from services.common.documents.sqlite import SqliteDocuments

async def main():
    things = SqliteDocuments(sys.argv[1]).collection("things", ["n"])
    counter = itertools.count()
    async def insert():
        while True:
            n = next(counter)
            await things.insert({"_id": str(n), "n": n, "pad": "x" * 500})
            print(n, flush=True)
    await asyncio.gather(*(insert() for _ in range(8)))

asyncio.run(main())
"""


def killed_writer(path: Path) -> set[int]:
    """Let a program insert, kill it in the middle, and return what it was told is stored."""
    writer = subprocess.Popen([sys.executable, "-c", INSERT_FOREVER, str(path)], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    first = [writer.stdout.readline() for _ in range(300)]
    writer.kill()
    rest, _ = writer.communicate()
    return {int(line) for line in [*first, *rest.splitlines()]}


def execute(path: Path, sql: str, *parameters: object) -> list[tuple[object, ...]]:
    """Do something to the file behind the store's back."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        return connection.execute(sql, parameters).fetchall()


async def test_every_acknowledged_insert_survives_a_kill(tmp_path: Path) -> None:
    """kill -9 in the middle of writing loses nothing that was said to be stored, and the file opens at once."""
    path = tmp_path / "a.db"
    acknowledged = killed_writer(path)

    documents = SqliteDocuments(path)
    found = {doc["n"] for doc in await documents.collection("things", ["n"]).find({})}
    await documents.close()

    assert len(acknowledged) >= 300
    assert acknowledged <= found
    assert execute(path, "PRAGMA integrity_check") == [("ok",)]


async def test_a_store_opens_again_with_what_was_in_it(tmp_path: Path) -> None:
    """And its file is for its owner's eyes only."""
    path = tmp_path / "new" / "a.db"
    first = SqliteDocuments(path)
    await first.collection("things").insert({"_id": "a"})
    await first.close()

    second = SqliteDocuments(path)
    found = await second.collection("things").get("a")
    await second.close()

    assert found == {"_id": "a", "revision": 1}
    assert path.stat().st_mode & 0o077 == 0


async def test_a_newer_store_is_refused(tmp_path: Path) -> None:
    """A file of a later version is left alone, and the message says both versions."""
    path = tmp_path / "a.db"
    await SqliteDocuments(path).close()
    execute(path, "UPDATE meta SET value = ?", str(STORE_VERSION + 1))

    with pytest.raises(NotReady, match=f"store version {STORE_VERSION + 1}; this one knows {STORE_VERSION}"):
        SqliteDocuments(path)


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    """It is not overwritten."""
    path = tmp_path / "a.db"
    path.write_text("my shopping list, which is long enough to be taken for a header" * 10)

    with pytest.raises(Unavailable, match="damaged"):
        SqliteDocuments(path)
    assert path.read_text().startswith("my shopping list")


def test_a_folder_that_cannot_be_made_is_unavailable(tmp_path: Path) -> None:
    """The message names the path."""
    (tmp_path / "file").write_text("")

    with pytest.raises(Unavailable, match=r"a\.db"):
        SqliteDocuments(tmp_path / "file" / "a.db")


async def test_deleting_at_once_what_another_replaces_is_consistent(tmp_path: Path) -> None:
    """Operations that are committed together see each other's effects in the order in which they were asked."""
    documents = SqliteDocuments(tmp_path / "a.db")
    things = documents.collection("things")
    await things.insert({"_id": "a"})

    results = await asyncio.gather(
        things.replace({"_id": "a", "revision": 1, "n": 2}),
        things.delete("a", revision=1),
        things.find({}),
        things.delete("a", revision=2),
        things.get("a"),
        return_exceptions=True,
    )
    await documents.close()

    assert results[0] == {"_id": "a", "revision": 2, "n": 2}
    assert isinstance(results[1], Conflict)
    assert list(results[2:]) == [[{"_id": "a", "revision": 2, "n": 2}], True, None]


@pytest.fixture
async def small_disk(tmp_path: Path) -> AsyncIterator[WriterThread]:
    """A writer on a file that cannot grow beyond forty pages, with a table `t`."""
    path = tmp_path / "small.db"
    connection = open_connection(path)
    connection.execute("CREATE TABLE t (x TEXT)")
    connection.execute("PRAGMA max_page_count = 40")
    writer = WriterThread(connection, lambda error: explain(error, path))
    yield writer
    await writer.close()


async def test_a_full_disk_fails_the_large_write_alone(small_disk: WriterThread) -> None:
    """Its neighbours in the same commit are stored, it is Exhausted, and afterwards the store works on."""

    async def insert(text: str) -> None:
        await small_disk.run(lambda c: c.execute("INSERT INTO t VALUES (?)", (text,)), writes=True)

    results = await asyncio.gather(
        insert("one"), insert("x" * 1_000_000), insert("two"), insert("y" * 1_000_000), return_exceptions=True
    )
    await insert("three")
    rows = await small_disk.run(lambda c: c.execute("SELECT x FROM t ORDER BY rowid").fetchall(), writes=False)

    assert [type(r) for r in results] == [type(None), Exhausted, type(None), Exhausted]
    assert [error.reason for error in results if isinstance(error, Exhausted)] == ["DISK_FULL", "DISK_FULL"]
    assert rows == [("one",), ("two",), ("three",)]


async def test_an_operation_that_raises_undoes_only_itself(small_disk: WriterThread) -> None:
    """Not even its first half stays, and nothing of its neighbours goes."""

    def half(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO t VALUES ('half')")
        raise Conflict("changed my mind")

    def whole(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO t VALUES ('whole')")

    results = await asyncio.gather(
        *(small_disk.run(operation, writes=True) for operation in (whole, half, whole)), return_exceptions=True
    )
    rows = await small_disk.run(lambda c: c.execute("SELECT x FROM t").fetchall(), writes=False)

    assert [type(r) for r in results] == [type(None), Conflict, type(None)]
    assert rows == [("whole",), ("whole",)]


async def test_lists_are_paged_through_the_joined_index(tmp_path: Path) -> None:
    """A page of a long list reads its own documents only."""
    documents = SqliteDocuments(tmp_path / "a.db")
    things = documents.collection("things", ["order", "parent", "delete_time", "parent,order"])
    await things.insert({"_id": "a", "parent": "p", "order": "1", "delete_time": None})
    await documents.close()
    clause, parameters = query.condition({"parent": "p", "delete_time": None, "order": {"$gt": ""}})
    sql = f"EXPLAIN QUERY PLAN SELECT * FROM {query.table('things')}{clause}{query.ordering('order', False)}"
    plan = execute(tmp_path / "a.db", sql, *parameters)

    assert [row[3] for row in plan] == ["SEARCH c_things USING INDEX i_things:parent,order (<expr>=? AND <expr>>?)"]
