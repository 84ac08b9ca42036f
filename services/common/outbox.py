"""Publishes the events that wait inside documents, and purges what was deleted.

An event is published with its id as the message id, then marked sent. A crash at any point repeats it, so every handler
is idempotent.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from google.protobuf.timestamp_pb2 import Timestamp

from finetuneflow.common.v1 import event_pb2
from services.common import incidents
from services.common.bus import Bus
from services.common.documents.port import Document
from services.common.errors import Conflict, FineTuneFlowError
from services.common.resources import Resources
from services.common.sweeping import keep_sweeping

log = logging.getLogger(__name__)

SWEEP_SECONDS = 5.0


class Outbox:
    """The events of one kind of resource.

    Args:
        purge: removes a deleted resource's children and objects; may run again; None if there are none.
    """

    def __init__(
        self,
        resources: Resources,
        bus: Bus,
        purge: Callable[[Document], Awaitable[None]] | None = None,
        sweep_seconds: float = SWEEP_SECONDS,
    ) -> None:
        self._resources = resources
        self._bus = bus
        self._purge = purge
        self._sweep_seconds = sweep_seconds
        self._awake = asyncio.Event()
        resources.listen(self._written)

    def _written(self, doc: Document) -> None:
        if doc["outbox_pending"] or doc["delete_time"] is not None:
            self._awake.set()

    async def run(self) -> None:
        """Work until cancelled."""
        what = f"Sending events of {self._resources.kind}s"
        await keep_sweeping(what, self.sweep, self._awake, self._sweep_seconds, log)

    async def sweep(self) -> None:
        """Send what waits now, then purge the tombstones whose events are sent."""
        for doc in await self._resources.collection.find({"outbox_pending": True}, sort="order", limit=200):
            await self._send(doc)
        tombstones = {"delete_time": {"$gt": 0}, "outbox_pending": False}
        for doc in await self._resources.collection.find(tombstones, sort="order", limit=200):
            try:
                if self._purge:
                    await self._purge(doc)
                await self._resources.purge(doc["_id"])
            except FineTuneFlowError as error:  # the others need not wait for this one
                log.warning("%s: purging waits: %s", doc["_id"], error)
            except Exception as error:
                incidents.report(log, f"Purging {doc['_id']}", error)

    async def _send(self, doc: Document) -> None:
        sent = set()
        for entry in doc["outbox"]:
            await self._bus.publish("ftf.events." + entry["type"], encode(entry, self._resources.kind), entry["id"])
            sent.add(entry["id"])
        while True:
            doc["outbox"] = [e for e in doc["outbox"] if e["id"] not in sent]
            doc["outbox_pending"] = bool(doc["outbox"])
            try:
                await self._resources.collection.replace(doc)
                return
            except Conflict:
                newer = await self._resources.collection.get(doc["_id"])
                if newer is None:
                    return
                doc = newer


def encode(entry: Document, kind: str) -> bytes:
    """Return an outbox entry as a serialised Event; what no caller caused, the kind's own service did."""
    time = Timestamp()
    time.FromNanoseconds(int(entry["time"] * 1e9))
    return event_pb2.Event(
        id=entry["id"],
        type=entry["type"],
        resource=entry["resource"],
        revision=entry["revision"],
        time=time,
        actor=entry["actor"] or f"{kind}s",
    ).SerializeToString()
