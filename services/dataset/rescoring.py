"""What the checks measured of an example whose texts a person changed: measured anew, or taken away."""

from __future__ import annotations

import asyncio

from services.common.documents.port import Document
from services.common.errors import NotFound, NotReady, Unavailable
from services.dataset.core.evidence import find
from services.dataset.core.example import Source
from services.dataset.core.gatekeeping import grounded
from services.dataset.core.masking import shown
from services.dataset.ports import Document as File
from services.dataset.sources import Chunks

GROUNDING = "grounding"
TEXTS = ("prompt", "response")


class Rescoring:
    """Measures examples anew against the passage that they were written from."""

    def __init__(self, documents: Chunks) -> None:
        self._documents = documents

    async def of(self, dataset: Document, example: Document) -> dict[str, float]:
        """Return the scores of an example's texts as they are now: its grounding, if it had one and can have one.

        Whatever else was measured, as by a judge, was measured of the texts before. Nothing is returned where the
        passage is not at hand: its document was deleted or cut anew, or the ingest service does not answer.
        """
        if GROUNDING not in example.get("scores", {}):
            return {}
        source = await self._source(dataset, example)
        place = find(example["evidence"], source.text) if source else None
        if source is None or place is None:
            return {}
        texts = (example["response"], example["evidence"], place, example["prompt"], source)
        return {GROUNDING: (await asyncio.to_thread(grounded, *texts))[0]}

    async def _source(self, dataset: Document, example: Document) -> Source | None:
        """Return the chunk of an example as the LLM saw it; None if it is not at hand."""
        file = next((File(**f) for f in dataset["files"] if f["name"] == example["file"]), None)
        if file is None:
            return None
        read: list[Source] = []
        try:
            async for source in self._documents.chunks(file):
                read.append(source)
                # The one behind it too: a find that the chunk's end cuts in two is masked in both.
                if len(read) > 1 and read[-2].chunk == example["chunk"]:
                    break
        except (NotFound, NotReady, Unavailable):
            return None
        seen = await asyncio.to_thread(shown, read, dataset["spec"].get("pii_policy", {}))
        return next((source for source in seen if source.chunk == example["chunk"]), None)
