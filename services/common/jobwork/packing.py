"""Once work has ended: its batches of reports become one object, and its curve a summary.

    packed "" → "STORED" (the object is read from now on) → "DONE" (the batches are gone)

Each step is a compare-and-set; whoever finds a step undone goes on from it. The object holds the series as messages
with their lengths before them, and the document where every so many of them begin.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator

from services.common.documents.port import Document
from services.common.errors import FineTuneFlowError, NotFound
from services.common.jobwork.host import Kind
from services.common.jobwork.reports import ReportStore
from services.common.jobwork.summary import Summary
from services.common.objects.port import Objects
from services.common.resources import Resources
from services.common.sweeping import keep_sweeping
from services.common.work import ENDED, ended

log = logging.getLogger(__name__)

INDEXES = ("packed,work.state",)
INDEX_STEP = 1000
"""Reports between two places that the document knows."""
PACK_SECONDS = 5.0
_AT_ONCE = 20


class Packing:
    """Packs the reports of one kind of work."""

    def __init__(
        self, kind: Kind, resources: Resources, reports: ReportStore, objects: Objects, sweep_seconds: float
    ) -> None:
        self._kind = kind
        self._resources = resources
        self._reports = reports
        self._objects = objects
        self._sweep_seconds = sweep_seconds
        self._awake = asyncio.Event()
        resources.listen(lambda doc: self._awake.set() if ended(doc["work"]) else None)

    async def run(self) -> None:
        """Pack until cancelled."""
        await keep_sweeping(f"Packing {self._kind.name}s", self.sweep, self._awake, self._sweep_seconds, log)

    async def sweep(self) -> None:
        """Pack what has ended and is not packed."""
        where = {"packed": {"$in": ["", "STORED"]}, "work.state": {"$in": sorted(ENDED)}, "delete_time": None}
        for doc in await self._resources.collection.find(where, limit=_AT_ONCE):
            try:
                if doc["packed"] == "":
                    doc = await self._store(doc)
                if doc["packed"] == "STORED":
                    await self._reports.forget(doc["uid"])
                    await self._resources.change(doc["_id"], lambda d: d.update(packed="DONE"))
            except NotFound:
                continue  # deleted meanwhile
            except FineTuneFlowError as error:  # the others need not wait for this one
                log.warning("%s: packing waits: %s", doc["_id"], error)

    async def _store(self, doc: Document) -> Document:
        """Write the object and name it in the document; of two that do, one is named and the other removed."""
        if not await self._reports.read(doc, 0):
            return await self._resources.change(doc["_id"], lambda d: d.update(packed="DONE"))
        index: list[list[int]] = []
        summary = Summary({entry["attempt"]: entry["from_step"] for entry in doc["attempts"]})
        count = 0

        async def content() -> AsyncIterator[bytes]:
            nonlocal count
            offset = after = 0
            while batch := await self._reports.read(doc, after):
                block = bytearray()
                for report in batch:
                    if count % INDEX_STEP == 0:
                        index.append([report.seq, offset + len(block)])
                    count += 1
                    data = report.SerializeToString()
                    block += len(data).to_bytes(4, "big") + data
                    summary.add(report)
                offset, after = offset + len(block), batch[-1].seq
                yield bytes(block)

        stored = await self._objects.put(f"{self._kind.prefix(doc)}reports-{secrets.token_hex(8)}.bin", content())
        await self._reports.keep_summary(doc["uid"], summary.points())
        packed = {"key": stored.key, "sha256": stored.sha256, "count": count, "index": index}
        packed["last_seq"] = await self._reports.last_seq(doc, doc["work"]["attempt"])

        def name_it(current: Document) -> None:
            if current["packed"] == "":
                current.update(packed="STORED", packed_reports=packed)

        newest = await self._resources.change(doc["_id"], name_it)
        if newest["packed_reports"]["key"] != stored.key:
            await self._objects.delete(stored.key)
        return newest
