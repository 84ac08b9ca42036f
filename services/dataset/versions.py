"""Frozen versions read again: compared with each other, and searched for the rows of a file."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from services.common.documents.port import Document
from services.common.errors import NotFound
from services.common.objects.port import Objects
from services.dataset.core.diff import Difference, Line, diff, lines
from services.dataset.kept import Kept
from services.dataset.service import Datasets, check_there

MOST_CHANGES = 50_000
"""Changes between versions that are kept, about 1 KB each."""


class Versions:
    """Frozen versions as rows."""

    def __init__(self, datasets: Datasets, objects: Objects) -> None:
        self._datasets = datasets
        self._objects = objects
        self._compared: Kept[Difference] = Kept(lambda found: 1 + len(found.changes), MOST_CHANGES)

    async def read(self, version: Document) -> list[Line]:
        """Return a version's rows.

        Raises:
            NotReady: its bytes were erased (VERSION_ERASED).
        """
        check_there(version)
        content = b"".join([part async for part in self._objects.get(version["artifact"]["key"])])
        return await asyncio.to_thread(lines, content)

    async def compare(
        self, base: str, base_version: int, other: str, other_version: int
    ) -> tuple[Document, Document, Difference]:
        """Return two versions' records, and what differs from the first to the second.

        What differs is kept for the next page: the bytes that a hash stands for never change.

        Args:
            base_version: 0: of one dataset the last version before the other that is not erased, or the only one; of
                two, its newest.
            other: "" for the same dataset.
            other_version: 0 for the newest.

        Raises:
            NotFound: a dataset or a version does not exist.
            NotReady: DATASET_NOT_READY or VERSION_ERASED.
        """
        second = await self._datasets.version(other or base, other_version)
        if not base_version and other in ("", base):
            base_version = await self._before(base, second)
        first = await self._datasets.version(base, base_version)
        key = (first["artifact"]["sha256"], second["artifact"]["sha256"])
        return first, second, await self._compared.get(key, lambda: self._difference(first, second))

    def keep_nothing(self) -> None:
        """Let go of what was read of versions, and of what is being read, as when some are erased."""
        self._compared.clear()

    async def _difference(self, first: Document, second: Document) -> Difference:
        before, after = await self.read(first), await self.read(second)
        return await asyncio.to_thread(diff, before, after)

    async def _before(self, dataset: str, version: Document) -> int:
        """Return the number of the last version before another whose bytes are there; the first version's is its own.

        Raises:
            NotReady: all before it were erased (VERSION_ERASED).
        """
        earlier = [
            v for v in (await self._datasets.resources.get(dataset))["versions"] if v["version"] < version["version"]
        ]
        kept = [v for v in earlier if not v.get("erased")]
        if earlier and not kept:
            check_there(earlier[-1])
        return int((kept or [version])[-1]["version"])

    async def uses(self, dataset: Document, file: str) -> Document | None:
        """Return what a dataset has of a file; None if it never used it."""
        examples = await self._datasets.examples.every(dataset)
        found = [e for e in examples if e["file"] == file]
        versions = [use for version in dataset["versions"] if (use := await self._use(version, file))]
        named = any(f["name"] == file for f in dataset["files"])
        if not (found or versions or named):
            return None
        return {
            "dataset": dataset["_id"],
            "examples": sum(e["drop_reason"] != "DOCUMENT_DELETED" for e in found),
            "accepted": sum(e["accepted"] and e["delete_time"] is None for e in found),
            "chunks": sorted({e["chunk"] for e in found}),
            "versions": versions,
        }

    async def _use(self, version: Document, file: str) -> Document | None:
        record = {"version": version["version"], "sha256": version["artifact"]["sha256"]}
        if version.get("erased"):
            gone: Sequence[str] = version.get("erased_for", ())
            return {**record, "rows": 0, "train_rows": 0, "erased": True} if file in gone else None
        try:
            rows = [line for line in await self.read(version) if line.file == file]
        except NotFound:
            return None  # purged meanwhile
        trained = sum(line.split == "TRAIN" for line in rows)
        return {**record, "rows": len(rows), "train_rows": trained, "erased": False} if rows else None
