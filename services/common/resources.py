"""Resources: documents with a name, an etag and a life from creation to tombstone to nothing.

Every change is one compare-and-set on one document. An event that goes with a change is stored inside the document
(`outbox`) in the same write, and published later by services.common.outbox.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import secrets
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from services.common import ids
from services.common.auth import caller_name
from services.common.clock import Clock
from services.common.documents.port import Collection, Document, Where
from services.common.errors import AlreadyExists, Conflict, InvalidArgument, NotFound
from services.common.pages import page

Mutate = Callable[[Document], None]

INDEXES = ("parent,order", "order", "outbox_pending,delete_time", "work.state")
SCHEMA = 1
MAX_REQUEST_ID = 128
PURGE_SECONDS = 5.0
"""How long the creation of what was just deleted waits for its name."""
_LOOK_SECONDS = 0.1
_RACES = 50


class Resources:
    """One kind of resource in one collection."""

    def __init__(self, collection: Collection, kind: str, clock: Clock) -> None:
        self.collection = collection
        self.kind = kind
        self.clock = clock
        self._listeners: list[Callable[[Document], None]] = []

    def listen(self, listener: Callable[[Document], None]) -> Callable[[], None]:
        """Call listener with each document written from this process; returns how to end that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def _written(self, doc: Document) -> Document:
        for listener in tuple(self._listeners):
            listener(doc)
        return doc

    async def create(
        self,
        name: str,
        fields: Document,
        *,
        request_id: str = "",
        body: bytes = b"",
        creator: str = "",
        event: str = "",
    ) -> Document:
        """Insert a resource; with the request_id that made an existing one, return that one instead.

        Where one of the name was deleted, wait for a few seconds until it is purged and the name is free.

        Args:
            name: the resource name; where the caller gives no id, derive it from request_id, so that a repeat finds it.
            fields: the resource's own fields; may hold parent, display_name, labels, annotations, work.
            request_id: up to 128 characters, or "".
            body: what the request asked for; a repeat must ask for the same.

        Raises:
            AlreadyExists: the name is taken by another request.
            InvalidArgument: the same request_id came with another body (REQUEST_ID_REUSED).
        """
        if len(request_id) > MAX_REQUEST_ID:
            raise InvalidArgument(f"request_id is longer than {MAX_REQUEST_ID} characters.", field="request_id")
        now = self.clock.now()
        doc = _new(name, fields, now, creator, {"id": request_id, "hash": hashlib.sha256(body).hexdigest()})
        add_event(doc, event, now, revision=1)
        try:
            return self._written(await self.collection.insert(doc))
        except AlreadyExists:
            if not await self._purged(name, request_id):
                return await self._repeated(name, doc["request"])
        try:
            return self._written(await self.collection.insert(doc))
        except AlreadyExists:
            return await self._repeated(name, doc["request"])

    async def create_many(self, entries: Iterable[tuple[str, Document]], *, creator: str = "") -> int:
        """Insert those of some resources, each a name and its fields, that are not there; return how many.

        What is there stays as it is, also a tombstone. No listener is called. Errors: as Collection.insert_many.
        """
        now, request = self.clock.now(), {"id": "", "hash": hashlib.sha256(b"").hexdigest()}
        docs = await asyncio.to_thread(lambda: [_new(name, fields, now, creator, request) for name, fields in entries])
        return await self.collection.insert_many(docs)

    async def made(self, name: str, request_id: str) -> bool:
        """Whether this request has made this resource before; its repeat is then answered from the resource alone."""
        if not request_id:
            return False
        found = await self.collection.get(name)
        return found is not None and found["delete_time"] is None and found["request"]["id"] == request_id

    async def _purged(self, name: str, request_id: str) -> bool:
        """Whether a resource that another request made was deleted, and is gone within PURGE_SECONDS."""
        for _ in range(round(PURGE_SECONDS / _LOOK_SECONDS)):
            found = await self.collection.get(name)
            if found is None:
                return True
            if found["delete_time"] is None or (request_id and found["request"]["id"] == request_id):
                return False
            await asyncio.sleep(_LOOK_SECONDS)
        return False

    async def _repeated(self, name: str, request: Document) -> Document:
        found = await self.collection.get(name)
        if found is None:
            raise Conflict(f"{self.kind} {name} was deleted just now. Repeat the call.")
        if not request["id"] or found["request"]["id"] != request["id"]:
            remedy = "Wait a moment: it is being deleted." if found["delete_time"] else "Choose another id."
            raise AlreadyExists(f"{self.kind} {name} exists already. {remedy}")
        if found["delete_time"] is not None:
            raise AlreadyExists(f"{self.kind} {name} was made by this request and deleted. Use a new request_id.")
        if found["request"]["hash"] != request["hash"]:
            raise InvalidArgument(
                f'request_id "{request["id"]}" was used for another request. Use a new one.',
                reason="REQUEST_ID_REUSED",
                field="request_id",
            )
        return found

    async def get(self, name: str) -> Document:
        """Return a resource.

        Raises:
            NotFound: there is none of that name, or it was deleted.
        """
        doc = await self.collection.get(name)
        if doc is None or doc["delete_time"] is not None:
            raise NotFound(f"{self.kind} {name} does not exist. List the {self.kind}s to see what does.")
        return doc

    async def page(self, where: Where, page_size: int, page_token: str) -> tuple[list[Document], str]:
        """Return a page of resources, oldest first, and the next page's token ("" on the last).

        Raises:
            InvalidArgument: page_size is below 0 or over 1,000, or page_token is not one of this list's.
        """
        return await page(self.collection, {**where, "delete_time": None}, page_size, page_token)

    async def change(
        self, name: str, mutate: Mutate, *, etag: str = "", user: bool = False, event: str = ""
    ) -> Document:
        """Change a resource: read, mutate, compare-and-set, again if somebody was faster.

        Args:
            mutate: changes the document in place; may run several times; what it raises ends the change.
            etag: if not "", must be the document's.
            user: whether a user's field changes: etag and update_time then move.
            event: type of the event that goes with the change, or "".

        Raises:
            NotFound: there is none of that name, or it was deleted.
            Conflict: the etag is old (ETAG_MISMATCH), or others were faster fifty times.
        """
        for _ in range(_RACES):
            doc = await self.get(name)
            check_etag(doc, etag)
            before = json.dumps(doc, sort_keys=True)
            mutate(doc)
            if json.dumps(doc, sort_keys=True) == before and not event:
                return doc
            now = self.clock.now()
            if user:
                doc["etag"], doc["update_time"] = secrets.token_hex(8), now
            add_event(doc, event, now, revision=doc["revision"] + 1)
            try:
                return self._written(await self.collection.replace(doc))
            except Conflict:
                continue
        raise Conflict(f"{self.kind} {name} changes too often. Repeat the call.")

    async def change_many(self, docs: Sequence[Document], mutate: Mutate) -> list[Document]:
        """Change resources that were read, as `change` does each; return them as they are now, in their order.

        Those that are gone meanwhile are left out. No user's field may change, and no listener is called.

        Args:
            docs: they are changed in place.
        """
        wanted = await asyncio.to_thread(_mutated, docs, mutate)
        stored = {doc["_id"]: doc for doc in await self.collection.replace_many(wanted)}
        for doc in wanted:
            if doc["_id"] not in stored:  # somebody was faster
                with contextlib.suppress(NotFound):
                    stored[doc["_id"]] = await self.change(doc["_id"], mutate)
        return [stored[doc["_id"]] for doc in wanted if doc["_id"] in stored]

    async def delete(self, name: str, *, etag: str = "", event: str = "") -> Document:
        """Leave a tombstone: the resource is gone for readers, and is purged once its event is sent.

        Raises:
            NotFound: there is none of that name, or it was deleted before.
            Conflict: the etag is old.
        """

        def bury(doc: Document) -> None:
            doc["delete_time"] = self.clock.now()

        return await self.change(name, bury, etag=etag, event=event)

    async def purge(self, name: str) -> None:
        """Remove a tombstone. Repeating it does nothing."""
        await self.collection.delete(name)


def _new(name: str, fields: Document, now: float, creator: str, request: Document) -> Document:
    return {
        "parent": "",
        "display_name": "",
        "labels": {},
        "annotations": {},
        **fields,
        "_id": name,
        "schema": SCHEMA,
        "order": ids.sortable(now),
        "uid": ids.new_uid(),
        "creator": creator,
        "create_time": now,
        "update_time": now,
        "etag": secrets.token_hex(8),
        "delete_time": None,
        "request": request,
        "outbox": [],
        "outbox_pending": False,
    }


def _mutated(docs: Sequence[Document], mutate: Mutate) -> Sequence[Document]:
    for doc in docs:
        mutate(doc)
    return docs


def add_event(doc: Document, event: str, now: float, revision: int = 0) -> None:
    """Put an event into a document's outbox; "" puts none. revision 0 means the one after the document's."""
    if not event:
        return
    entry: dict[str, Any] = {
        "id": ids.new_uid(),
        "type": event,
        "resource": doc["_id"],
        "revision": revision or doc["revision"] + 1,
        "time": now,
        "actor": caller_name(),
    }
    doc["outbox"] = [*doc["outbox"], entry]
    doc["outbox_pending"] = True


def check_etag(doc: Document, etag: str) -> None:
    """Refuse a change that was made from an older state.

    Raises:
        Conflict: etag is neither "" nor the document's.
    """
    if etag and etag != doc["etag"]:
        raise Conflict(
            f"{doc['_id']} has changed since you read it. Read it again.", reason="ETAG_MISMATCH", field="etag"
        )
