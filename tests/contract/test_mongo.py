"""What is peculiar to MongoDB: outages, several replicas at once, what is kept in the database."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from pathlib import Path

import pytest
from pymongo import MongoClient, errors

from services.common.documents.mongo import MongoDocuments, explain
from services.common.errors import AlreadyExists, Conflict, Exhausted, Unavailable
from tests.fakes import stores
from tests.fakes.servers import started

pytestmark = pytest.mark.cluster
URL = "mongodb://ftf:s3cret@db.example.com:27017/"


async def test_an_outage_is_unavailable_and_passes(tmp_path: Path) -> None:
    """What was written is there again; the same store object goes on."""
    server = stores.ferretdb(tmp_path)
    with started(server):
        store = await MongoDocuments.open(f"mongodb://{server.address}/?serverSelectionTimeoutMS=500", "training")
        things = store.collection("things", ["state"])
        await things.insert({"_id": "a", "n": 1})
        server.stop()
        began = time.monotonic()
        with pytest.raises(Unavailable, match=server.address):
            await things.get("a")
        with pytest.raises(Unavailable):
            await things.insert({"_id": "b"})
        waited = time.monotonic() - began
        server.start()
        async with asyncio.timeout(20):
            while True:
                with contextlib.suppress(Unavailable):
                    doc = await things.get("a")
                    break
        replaced = await things.replace(doc or {})
        await store.close()

    assert waited < 5
    assert replaced == {"_id": "a", "revision": 2, "n": 1}


async def test_a_killed_server_keeps_what_it_acknowledged(tmp_path: Path) -> None:
    """Writes that met the kill are Unavailable and may have happened; no other is lost."""
    server = stores.ferretdb(tmp_path)
    with started(server):
        store = await MongoDocuments.open(f"mongodb://{server.address}", "training")
        things = store.collection("things")
        await things.insert({"_id": "first"})
        writes = [asyncio.create_task(things.insert({"_id": f"{n}"})) for n in range(300)]
        await asyncio.wait(writes, return_when=asyncio.FIRST_COMPLETED)
        server.kill()
        results = await asyncio.gather(*writes, return_exceptions=True)
        server.start()
        there = {doc["_id"] for doc in await things.find({})}
        await store.close()
    acknowledged = {result["_id"] for result in results if isinstance(result, dict)}
    failed = [result for result in results if not isinstance(result, dict)]

    assert acknowledged
    assert acknowledged <= there
    assert all(isinstance(error, Unavailable) for error in failed)


async def test_replicas_share_a_database(mongo_url: str) -> None:
    """Two of a service, started at once: the indexes are made once, and one of two changes loses."""
    service = f"t{secrets.token_hex(6)}"
    first, second = [await MongoDocuments.open(mongo_url, service) for _ in range(2)]
    indexes = ["state", "parent,order", "work.state"]
    one, two = first.collection("things", indexes), second.collection("things", indexes)
    inserted = await asyncio.gather(one.insert({"_id": "a"}), two.insert({"_id": "a"}), return_exceptions=True)
    doc = await one.get("a") or {}
    replaced = await asyncio.gather(one.replace(doc), two.replace(doc), return_exceptions=True)
    await asyncio.gather(first.close(), second.close())
    with MongoClient[dict[str, object]](mongo_url) as client:
        database = client[f"finetuneflow_{service}"]
        made = {tuple(field for field, _ in i["key"]) for i in database["things"].index_information().values()}
        client.drop_database(f"finetuneflow_{service}")

    assert sum(isinstance(result, AlreadyExists) for result in inserted) == 1
    assert sum(isinstance(result, Conflict) for result in replaced) == 1
    assert made == {("_id",), ("state", "_id"), ("parent", "order", "_id"), ("work.state", "_id")}


ERRORS = [
    (errors.OperationFailure("no space", 14031), Exhausted, "DISK_FULL"),
    (errors.OperationFailure("insert: database or disk is full (13)", 1), Exhausted, "DISK_FULL"),
    (errors.OperationFailure("not authorized on finetuneflow_training", 13), Unavailable, "CONFIGURATION"),
    (errors.OperationFailure("Authentication failed.", 18), Unavailable, "CONFIGURATION"),
    (errors.WTimeoutError("waiting for replication timed out", 64), Unavailable, "DEPENDENCY_UNAVAILABLE"),
    (errors.NotPrimaryError("not primary"), Unavailable, "DEPENDENCY_UNAVAILABLE"),
    (errors.ServerSelectionTimeoutError("ftf:s3cret@db: refused"), Unavailable, "DEPENDENCY_UNAVAILABLE"),
    (errors.InvalidOperation("closed s3cret"), Unavailable, "DEPENDENCY_UNAVAILABLE"),
]


@pytest.mark.parametrize(("error", "kind", "reason"), ERRORS, ids=lambda value: type(value).__name__)
def test_errors_of_the_driver_become_ours(error: errors.PyMongoError, kind: type[Exception], reason: str) -> None:
    """With the server's name, and without the password, whatever the driver says."""
    explained = explain(error, URL)

    assert isinstance(explained, kind)
    assert explained.reason == reason
    assert ("FTF_DOCUMENTS (documents of the chart)" in explained.message) is (reason == "CONFIGURATION")
    assert "db.example.com:27017" in explained.message
    assert "s3cret" not in explained.message
