"""What previews took, by endpoint: what an estimate rests on before the endpoint's first dataset."""

from __future__ import annotations

from typing import Any

from services.common.documents.port import Collection, Document
from services.common.errors import AlreadyExists, Conflict

MOST = 10
"""Previews of one endpoint that are kept, the newest: figures alone, no text."""


class Measures:
    """One document for each endpoint that a preview asked; it goes with the endpoint."""

    def __init__(self, collection: Collection) -> None:
        self._collection = collection

    async def keep(
        self, endpoint: str, endpoints: dict[str, str], usage: dict[str, Any], asked: int, at_once: int
    ) -> None:
        """Keep what a preview took.

        Args:
            endpoint: uid of the one that was asked for examples.
            endpoints: names of those that were asked, by what for.
            usage: as of a dataset, with its seconds.
            asked: calls of the preview that were to bring examples.
            at_once: calls that may be in flight at most.
        """
        if not usage["calls"]:
            return
        taken = {"usage": {**usage, "faster": faster(asked, at_once)}, "endpoints": endpoints}
        written = False
        while not written:
            doc = await self._collection.get(endpoint) or {"_id": endpoint, "previews": []}
            written = await self._written({**doc, "previews": [taken, *doc["previews"]][:MOST]})

    async def of(self, endpoint: str) -> list[Document]:
        """Return what the newest previews of an endpoint took: `usage` and `endpoints`; its uid is asked for."""
        doc = await self._collection.get(endpoint)
        return doc["previews"] if doc else []

    async def forget(self, endpoint: str) -> None:
        """Remove the record of an endpoint that was deleted. Repeating it does nothing."""
        await self._collection.delete(endpoint)

    async def _written(self, doc: Document) -> bool:
        try:
            await (self._collection.replace(doc) if "revision" in doc else self._collection.insert(doc))
        except (AlreadyExists, Conflict):
            return False
        return True


def faster(asked: int, at_once: int) -> float:
    """Return how many times as fast many calls may go as a few did, at least 1: fewer of those were in flight.

    Calls of about the same length come in turns of `at_once`; the last turn may have fewer, and takes as long.
    """
    turns = -(-asked // at_once)
    return at_once * turns / asked
