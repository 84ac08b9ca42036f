"""One collection in MongoDB; see services.common.documents.mongo for how its server is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from pymongo import ASCENDING, DESCENDING, IndexModel, ReplaceOne, errors

from services.common.documents import bsonform, checked
from services.common.documents.port import Document, Where
from services.common.errors import AlreadyExists, Conflict

if TYPE_CHECKING:
    from services.common.documents.mongo import MongoDocuments

T = TypeVar("T")

_TAKEN = 11_000  # DuplicateKey


class MongoCollection:
    """One collection; see port.Collection for what the methods promise."""

    def __init__(self, store: MongoDocuments, name: str, indexes: Sequence[IndexModel]) -> None:
        self._store = store
        self._name = name
        self._indexes = list(indexes)
        self._making = asyncio.Lock()

    async def insert(self, doc: Document) -> Document:
        """See port.Collection."""
        stored, returned = bsonform.stored(doc, 1)

        async def operation(collection: Any) -> Document:
            try:
                await collection.insert_one(stored)
            except errors.DuplicateKeyError:
                message = f"{self._name} already has {returned['_id']!r}. Choose another name."
                raise AlreadyExists(message) from None
            return returned

        return await self._run(operation)

    async def insert_many(self, docs: Sequence[Document]) -> int:
        """See port.Collection."""
        wanted = await asyncio.to_thread(lambda: [bsonform.stored(doc, 1)[0] for doc in docs])

        async def operation(collection: Any) -> int:
            if not wanted:
                return 0
            try:
                return len((await collection.insert_many(wanted, ordered=False)).inserted_ids)
            except errors.BulkWriteError as error:
                found = error.details or {}
                others = [e for e in found.get("writeErrors", ()) if e.get("code") != _TAKEN]
                if others or found.get("writeConcernErrors"):
                    raise
                return int(found["nInserted"])

        return await self._run(operation)

    async def get(self, id: str) -> Document | None:
        """See port.Collection."""

        async def operation(collection: Any) -> Document | None:
            found = await collection.find_one({"_id": id})
            return bsonform.from_bson(found) if found else None

        return await self._run(operation)

    async def replace(self, doc: Document) -> Document:
        """See port.Collection."""
        revision = checked.revision(doc)
        stored, returned = bsonform.stored(doc, revision + 1)

        async def operation(collection: Any) -> Document:
            result = await collection.replace_one({"_id": stored["_id"], "revision": revision}, stored)
            if result.matched_count != 1:
                raise self._changed(returned["_id"])
            return returned

        return await self._run(operation)

    async def replace_many(self, docs: Sequence[Document]) -> list[Document]:
        """See port.Collection."""
        made = await asyncio.to_thread(lambda: [bsonform.stored(doc, checked.revision(doc) + 1) for doc in docs])

        async def operation(collection: Any) -> list[Document]:
            steps = [ReplaceOne({"_id": s["_id"], "revision": s["revision"] - 1}, s) for s, _ in made]
            if not steps or (await collection.bulk_write(steps, ordered=False)).matched_count == len(steps):
                return [returned for _, returned in made]
            # The server does not say which: those that are as they were to be.
            ids = [stored["_id"] for stored, _ in made]
            now = {doc["_id"]: bsonform.from_bson(doc) async for doc in collection.find({"_id": {"$in": ids}})}
            return [returned for _, returned in made if now.get(returned["_id"]) == returned]

        return await self._run(operation)

    async def find(
        self, where: Where, *, sort: str = "_id", descending: bool = False, limit: int = 0
    ) -> list[Document]:
        """See port.Collection."""
        wanted = bsonform.condition(where)
        way = DESCENDING if descending else ASCENDING
        order = {checked.path(sort): way} | {"_id": way}

        async def operation(collection: Any) -> list[Document]:
            cursor = collection.find(wanted, sort=list(order.items()), limit=max(limit, 0))
            found = {doc["_id"]: bsonform.from_bson(doc) async for doc in cursor}
            return list(found.values())

        return await self._run(operation)

    async def count(self, where: Where) -> int:
        """See port.Collection."""
        wanted = bsonform.condition(where)

        async def operation(collection: Any) -> int:
            return int(await collection.count_documents(wanted))

        return await self._run(operation)

    async def delete(self, id: str, revision: int = 0) -> bool:
        """See port.Collection."""

        async def operation(collection: Any) -> bool:
            wanted = {"_id": id, "revision": revision} if revision else {"_id": id}
            if (await collection.delete_one(wanted)).deleted_count == 1:
                return True
            if revision and await collection.find_one({"_id": id}, {"_id": 1}):
                raise self._changed(id)
            return False

        return await self._run(operation)

    async def delete_many(self, ids: Sequence[str]) -> int:
        """See port.Collection."""

        async def operation(collection: Any) -> int:
            return int((await collection.delete_many({"_id": {"$in": list(ids)}})).deleted_count)

        return await self._run(operation)

    async def _run(self, operation: Callable[[Any], Awaitable[T]]) -> T:
        async def work(database: Any) -> T:
            collection = database[self._name]
            async with self._making:
                # One by one: of several, FerretDB stumbles over those that are there already.
                while self._indexes:
                    await collection.create_indexes(self._indexes[:1])
                    del self._indexes[:1]
            return await operation(collection)

        return await self._store.run(work)

    def _changed(self, id: str) -> Conflict:
        return Conflict(f"{id!r} in {self._name} was changed by another. Read it again and repeat.")


def index_of(index: str) -> IndexModel:
    """Return an index as the driver wants it; see port.Documents.collection."""
    paths = [checked.path(path) for path in index.split(",")]
    return IndexModel([(path, ASCENDING) for path in dict.fromkeys([*paths, "_id"])])  # sorting ends with the id
