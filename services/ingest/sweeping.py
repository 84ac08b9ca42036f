"""Removes what no document names: chunks of files that are gone, objects of uploads that broke off."""

from __future__ import annotations

import asyncio
import logging

from services.common.documents.port import Document
from services.common.errors import FineTuneFlowError
from services.common.objects.port import Objects
from services.common.objects.unfinished import Unfinished
from services.common.resources import Resources
from services.ingest.store import ChunkStore, folder_time

log = logging.getLogger(__name__)

SWEEP_SECONDS = 3_600.0
AGE_SECONDS = 86_400.0


class Sweeper:
    """Sweeps at the start and every hour.

    Args:
        age_seconds: only objects of uploads that began longer ago are removed, so that none in progress is.
    """

    def __init__(
        self,
        files: Resources,
        chunks: ChunkStore,
        objects: Objects,
        unfinished: Unfinished,
        age_seconds: float = AGE_SECONDS,
    ) -> None:
        self._files = files
        self._chunks = chunks
        self._objects = objects
        self._unfinished = unfinished
        self._age_seconds = age_seconds

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            try:
                await self.sweep()
            except FineTuneFlowError as error:
                log.warning("sweep: tried again in an hour: %s", error)
            await asyncio.sleep(SWEEP_SECONDS)

    async def sweep(self) -> None:
        """Remove what is left over now."""
        async for file, uid in self._chunks.owners():
            doc = await self._files.collection.get(file)
            if doc is None or doc["uid"] != uid:
                await self._chunks.drop_owner(uid)
            elif doc["chunking"]:
                await self._chunks.drop(file, before_edition=doc["chunking"]["edition"])
        await self._objects_of_nobody()
        await self._unfinished.sweep()

    async def _objects_of_nobody(self) -> None:
        before = self._files.clock.now() - self._age_seconds
        keys = [key async for key in self._objects.list("projects/")]
        known: dict[str, list[Document]] = {}
        for key in keys:
            began = folder_time(key)
            if began is None or began > before:
                continue
            folder = "/".join(key.split("/")[:4])
            if folder not in known:
                known[folder] = await self._files.collection.find({"folder": folder}, limit=1)
            if not known[folder]:
                await self._objects.delete(key)
