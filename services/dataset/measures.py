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

    async def keep(self, endpoint: str, endpoints: dict[str, str], usage: dict[str, Any], at_once: int) -> None:
        """Keep what a preview took.

        Args:
            endpoint: uid of the one that was asked for examples.
            endpoints: names of those that were asked, by what for.
            usage: as of a dataset, with its seconds.
            at_once: calls that a dataset has in flight at most; a preview has all of its own.
        """
        calls = usage["calls"]
        if not calls:
            return
        taken = {"usage": {**usage, "faster": max(1.0, at_once / calls)}, "endpoints": endpoints}
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
