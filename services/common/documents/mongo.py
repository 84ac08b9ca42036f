"""Documents in MongoDB: a database per service, a collection per collection, one MongoDB document per document.

Every write waits until a majority of the replica set has it in its journal, and reads are of what a majority has. A
compare-and-set that matches nothing waits for the majority too, so whoever lost a race reads what he lost to.
"""

from __future__ import annotations

import asyncio
import datetime
import re
import time
import warnings
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import ReadPreference, WriteConcern, errors
from pymongo.read_concern import ReadConcern

from services.common.documents import checked, mongourl
from services.common.documents.mongocollection import MongoCollection, index_of
from services.common.errors import (
    Exhausted,
    FineTuneFlowError,
    InvalidArgument,
    NotReady,
    Unavailable,
)

T = TypeVar("T")

STORE_VERSION = 1
_META = "_meta"
_SERVICE = re.compile(r"[a-z][a-z0-9_]{0,30}")
_WRITES = WriteConcern("majority", j=True, wtimeout=10_000)
_OPTIONS = {"serverSelectionTimeoutMS": 5_000, "connectTimeoutMS": 5_000, "socketTimeoutMS": 30_000}
_REFUSED = (13, 18, 8000)  # Unauthorized, AuthenticationFailed, and Atlas's own for both
_PARALLEL = 10  # the driver's threads on two cores; more would only wait inside it
_FULL_CODE = 14_031
_FULL_TEXT = re.compile(r"disk is full|no space left|over your space quota", re.IGNORECASE)


class MongoDocuments:
    """A service's database on a server of MongoDB's protocol. Make it with open; it connects when it is first used.

    Args:
        client: motor's.
        url: what the client was made from.
        service: whose database it is: finetuneflow_{service}.
    """

    def __init__(self, client: Any, url: str, service: str) -> None:
        self._client = client
        self._url = url
        self._name = f"finetuneflow_{service}"
        self._database: Any = None
        self._opening = asyncio.Lock()
        self._slots = asyncio.Semaphore(_PARALLEL)
        self._running: set[asyncio.Future[Any]] = set()
        self._away_since = 0.0
        self._closed = False

    @classmethod
    async def open(cls, url: str, service: str) -> MongoDocuments:
        """Take a URL as MongoDB's drivers do, mongodb:// or mongodb+srv://. A database in it is only where users live.

        Raises:
            InvalidArgument: the URL is malformed (CONFIGURATION).
            Unavailable: the DNS has no such mongodb+srv name.
        """
        if not _SERVICE.fullmatch(service):
            raise InvalidArgument(f"{service!r} is not a service's name. Use lower-case letters, digits, underscores.")
        return cls(await asyncio.to_thread(_client, url, service, asyncio.get_running_loop()), url, service)

    def collection(self, name: str, indexes: Sequence[str] = ()) -> MongoCollection:
        """See port.Documents."""
        return MongoCollection(self, checked.collection_name(name), [index_of(index) for index in indexes])

    async def check(self) -> float:
        """See port.Documents."""

        async def touch(database: Any) -> float:
            before = time.time()
            hello = await self._client.admin.command("hello")
            now = (before + time.time()) / 2
            await database[_META].replace_one({"_id": "check"}, {"time": now}, upsert=True)
            ahead: float = hello["localTime"].replace(tzinfo=datetime.UTC).timestamp() - now
            return ahead

        return await self.run(touch)

    async def close(self) -> None:
        """See port.Documents."""
        self._closed = True
        if self._running:
            await asyncio.wait(self._running)
        self._client.close()

    async def run(self, work: Callable[[Any], Awaitable[T]]) -> T:
        """Do something with the database; a caller who gives up does not end it.

        Raises:
            FineTuneFlowError: what the work raised, or what the driver's error was explained as.
        """
        if self._closed:
            raise Unavailable("The document store is closed. Start the service again.")
        task = asyncio.ensure_future(self._explained(work))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return await asyncio.shield(task)

    async def _explained(self, work: Callable[[Any], Awaitable[T]]) -> T:
        began = time.monotonic()
        async with self._slots:
            if self._away_since > began:  # who queued behind one that waited in vain need not wait as long again
                place = mongourl.place(self._url)
                raise Unavailable(f"MongoDB at {place} does not answer. Check the server, then repeat.")
            return await self._done(work)

    async def _done(self, work: Callable[[Any], Awaitable[T]]) -> T:
        try:
            if self._database is None:
                self._database = await self._once()
            return await work(self._database)
        except errors.PyMongoError as error:
            if isinstance(error, (errors.ServerSelectionTimeoutError, errors.NetworkTimeout)):
                self._away_since = time.monotonic()
            raise explain(error, self._url) from None  # the driver's own text may hold what must not be seen

    async def _once(self) -> Any:
        async with self._opening:
            return await self._open() if self._database is None else self._database

    async def _open(self) -> Any:
        hello = await self._client.admin.command("hello")
        majority = "setName" in hello or hello.get("msg") == "isdbgrid"
        database = self._client.get_database(
            self._name,
            read_preference=ReadPreference.PRIMARY,
            read_concern=ReadConcern("majority" if majority else None),
            write_concern=_WRITES,
        )
        meta = database[_META]
        found = await meta.find_one({"_id": "store_version"})
        if found is None:
            await meta.update_one({"_id": "store_version"}, {"$set": {"value": STORE_VERSION}}, upsert=True)
        elif found["value"] > STORE_VERSION:
            raise NotReady(
                f"The database {self._name} was written by a newer FineTuneFlow (store version {found['value']}; this "
                f"one knows {STORE_VERSION}). Install the newer version, or use another server."
            )
        return database


def explain(error: errors.PyMongoError, url: str) -> FineTuneFlowError:
    """Return the error of ours that an error of the driver's stands for; it never shows the URL's password."""
    place = mongourl.place(url)
    code = error.code if isinstance(error, errors.OperationFailure) else None
    said = mongourl.shown(str(error), url)
    if code == _FULL_CODE or _FULL_TEXT.search(said):
        return Exhausted(f"The disk of the documents at {place} is full. Free space there and repeat.")
    if code in _REFUSED:
        return Unavailable(
            f"MongoDB at {place} refuses these credentials, or what they ask for ({said}). Correct the user and the "
            "password in FTF_DOCUMENTS (documents of the chart), and give the user the role readWrite on the "
            "databases finetuneflow_*.",
            reason="CONFIGURATION",
        )
    if isinstance(error, errors.ConfigurationError):
        return Unavailable(
            f"MongoDB at {place} cannot be used as FTF_DOCUMENTS (documents of the chart) says ({said}). Correct it.",
            reason="CONFIGURATION",
        )
    if isinstance(error, errors.DocumentTooLarge):
        return InvalidArgument("The document is too large for MongoDB. Store large parts as objects.")
    return Unavailable(f"MongoDB at {place} does not do what is asked ({said}). Check the server, then repeat.")


def _client(url: str, service: str, loop: asyncio.AbstractEventLoop) -> Any:
    mongourl.place(url)
    given = mongourl.options(url)
    options: dict[str, Any] = {name: value for name, value in _OPTIONS.items() if name.lower() not in given}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # the driver only warns of options that it does not know
            return AsyncIOMotorClient(url, io_loop=loop, appname=f"finetuneflow-{service}", **options)
    except UserWarning as warning:
        said = mongourl.shown(str(warning), url)
        raise InvalidArgument(
            f"The mongodb:// URL of the documents has a wrong option ({said}). Correct it.", reason="CONFIGURATION"
        ) from None
    except (errors.InvalidURI, ValueError, TypeError):
        raise mongourl.malformed() from None
    except errors.ConfigurationError as error:
        raise explain(error, url) from None
