"""Datasets of one's own: bytes into the object store, then a dataset whose reading is queued."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
from collections.abc import AsyncIterator
from functools import partial

from finetuneflow.dataset.v1 import dataset_pb2
from services.common import ids
from services.common.documents.port import Document
from services.common.errors import AlreadyExists, InvalidArgument, NotFound, NotReady
from services.common.objects.port import Objects, Stored
from services.common.objects.unfinished import Unfinished
from services.common.protoform import user_fields
from services.common.resources import Resources
from services.common.sweeping import keep_sweeping
from services.common.work import queued
from services.dataset.core.formats.kinds import ENOUGH, PARQUET, other_than_text, refused
from services.dataset.importheader import Header
from services.dataset.ports import Documents
from services.dataset.spec import complete
from services.dataset.store import Examples

log = logging.getLogger(__name__)

AGE_SECONDS = 86_400.0
SWEEP_SECONDS = 3_600.0
# What an imported dataset has no use for, and shows as 0.
_UNUSED = ("examples_per_chunk", "max_examples", "temperature", "max_tokens", "seed")


class Imports:
    """Takes in files of examples.

    Args:
        unfinished: imports that broke off.
        limit: largest file in bytes.
    """

    def __init__(
        self,
        datasets: Resources,
        examples: Examples,
        documents: Documents,
        objects: Objects,
        unfinished: Unfinished,
        limit: int,
    ) -> None:
        self._datasets = datasets
        self._examples = examples
        self._documents = documents
        self._objects = objects
        self._unfinished = unfinished
        self._limit = limit
        self._awake = asyncio.Event()
        datasets.listen(self._written)

    async def begin(self, header: Header, data: AsyncIterator[bytes], creator: str) -> Document:
        """Store a file and queue its reading; the same request_id and bytes give the dataset that is there.

        Raises:
            NotFound: the project does not exist.
            AlreadyExists: the id is taken.
            InvalidArgument: BAD_FILE_NAME, FILE_TOO_LARGE, EMPTY_FILE, HASH_MISMATCH, IMPORT_NOT_TEXT, or a setting is
                out of range.
            NotReady: fewer bytes than the header's offset are here (UPLOAD_OFFSET).
            Exhausted: DISK_FULL.
        """
        project, chosen = header.place()
        header.check()
        name = f"{header.parent}/datasets/{chosen}"
        if header.offset and header.offset == header.size_bytes and (made := await self._made(name, header)):
            return made
        fields = {
            **user_fields(header.dataset.display_name, header.dataset.meta, "header.dataset"),
            "parent": header.parent,
            "spec": _spec(header.dataset.spec),
        }
        await self._documents.project(header.parent)
        key = f"imports/{project}/{chosen}/{ids.sortable(self._datasets.clock.now())}"
        kept = False
        async with self._unfinished.receiving(header.upload, data) as every:
            stored = await self._objects.put(key, self._counted(header, every))
            try:
                fields.update(self._fresh(header, stored))
                doc = await self._created(name, fields, header.request_id, header.request(stored.sha256), creator)
                kept = doc["import"]["key"] == key
                return doc
            finally:
                if not kept:
                    await asyncio.shield(self._objects.delete(key))

    async def received(self, header: Header) -> int:
        """Return how many bytes of a file need not be sent.

        Raises:
            InvalidArgument: the header has no length or SHA-256, or is wrong in itself.
        """
        header.check()
        header.upload.check()
        if await self._made(f"{header.parent}/datasets/{header.place()[1]}", header):
            return header.size_bytes
        return await self._unfinished.have(header.upload)

    async def _made(self, name: str, header: Header) -> Document | None:
        """Return the dataset that this request has made of these bytes before; None if it has not."""
        if not await self._datasets.made(name, header.request_id):
            return None
        found = await self._datasets.get(name)
        same = found["request"]["hash"] == hashlib.sha256(header.request(header.sha256)).hexdigest()
        return found if same else None

    async def _created(self, name: str, fields: Document, request_id: str, body: bytes, creator: str) -> Document:
        """Make the dataset; one of the name that is left of an import that did not succeed makes room for it."""
        create = partial(self._datasets.create, name, fields, request_id=request_id, body=body, creator=creator)
        try:
            return await create()
        except AlreadyExists:
            found = await self._datasets.collection.get(name)
            if not found or not found.get("import") or found["delete_time"] is not None or found["versions"]:
                raise
            if found["work"]["state"] not in ("FAILED", "CANCELLED"):
                raise

        def bury(doc: Document) -> None:
            if doc["uid"] != found["uid"]:
                raise AlreadyExists(f"dataset {name} exists already. Choose another id.")
            doc["delete_time"] = self._datasets.clock.now()

        with contextlib.suppress(NotFound):  # another call was faster
            await self._datasets.change(name, bury, event="dataset.deleted")
        return await create()

    def _fresh(self, header: Header, stored: Stored) -> Document:
        return {
            "work": queued(self._datasets.clock.now()),
            "files": [],
            "llm": "",
            "counts": [],
            "usage": {"calls": 0, "retries": 0, "prompt_tokens": 0, "completion_tokens": 0, "seconds": 0.0},
            "versions": [],
            "import": {
                "filename": header.filename,
                "key": stored.key,
                "size_bytes": stored.size,
                "sha256": stored.sha256,
                "format": header.format,
                "encoding": header.encoding,
                "mapping": dict(header.mapping),
                "split_column": header.split_column,
                "strict": header.strict,
                "kind": "",
                "ignored": [],
                "problems": [],
                "report": None,
                "read": False,
            },
        }

    async def _counted(self, header: Header, data: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Yield the bytes as they come; raising here leaves nothing in the store."""
        digest, size, first = hashlib.sha256(), 0, b""
        async for block in data:
            if size < ENOUGH:
                first += block[: ENOUGH - size]
                _check_rows(header, first)
            size += len(block)
            if max(size, header.size_bytes) > self._limit:
                raise InvalidArgument(
                    f"{header.filename!r} is larger than {self._limit / 1e6:,.0f} MB, the limit. Split it.",
                    reason="FILE_TOO_LARGE",
                    metadata={"limit_bytes": str(self._limit)},
                )
            digest.update(block)
            yield block
        if not size:
            raise InvalidArgument(f"{header.filename!r} is empty. Send one with examples in it.", reason="EMPTY_FILE")
        if header.size_bytes not in (0, size) or header.sha256 not in ("", digest.hexdigest()):
            raise InvalidArgument(
                f"{header.filename!r} did not arrive as announced. Send it again.", reason="HASH_MISMATCH"
            )

    async def keep_sweeping(self) -> None:
        """Sweep at the start, every hour and when an import has ended halfway, until cancelled."""
        await keep_sweeping("sweeping imports", self.sweep, self._awake, SWEEP_SECONDS, log)

    def _written(self, doc: Document) -> None:
        if _halfway(doc):
            self._awake.set()

    async def sweep(self) -> None:
        """Remove what imports left that have ended halfway: their examples, and files that no dataset names.

        Files are left for a day, for their dataset may be on its way. Repeating it does nothing.
        """
        where = {"work.state": {"$in": ["FAILED", "CANCELLED"]}, "import.stored": True, "delete_time": None}
        for halfway in await self._datasets.collection.find(where):
            await self._examples.delete(halfway["uid"])
            with contextlib.suppress(NotFound):
                await self._datasets.change(halfway["_id"], _cleared)
        await self._unfinished.sweep()
        before = ids.sortable(self._datasets.clock.now() - AGE_SECONDS)
        old = [key async for key in self._objects.list("imports/") if key.rpartition("/")[2] < before]
        for key in old:
            _, project, dataset, _ = key.split("/")
            doc = await self._datasets.collection.get(f"projects/{project}/datasets/{dataset}")
            if doc is None or (doc.get("import") or {}).get("key") != key:
                await self._objects.delete(key)


def _check_rows(header: Header, first: bytes) -> None:
    """Refuse a file that its first bytes tell to be something else, so that no dataset is made of it."""
    if header.encoding != "parquet" and not first.startswith(PARQUET) and (other := other_than_text(first)):
        raise refused(header.filename, other)


def _halfway(doc: Document) -> bool:
    """Whether an import has ended without becoming a dataset, and its examples are still there."""
    return bool(doc.get("import", {}).get("stored")) and doc["work"]["state"] in ("FAILED", "CANCELLED")


def _cleared(doc: Document) -> None:
    doc["import"] = {**doc["import"], "stored": False}


def _spec(wanted: dataset_pb2.DatasetSpec) -> Document:
    """Return the settings that an imported dataset has: its split and its system prompt."""
    given = dataset_pb2.DatasetSpec(system_prompt=wanted.system_prompt)
    if wanted.HasField("eval_fraction"):
        given.eval_fraction = wanted.eval_fraction
    given.recall_fraction = wanted.recall_fraction
    spec = complete(given)
    return {**spec, "task_type": "TASK_TYPE_UNSPECIFIED", **{name: 0 for name in _UNUSED if name in spec}}


def report_of(doc: Document) -> Document | None:
    """Return the record of an import's report; None if no row was left out.

    Raises:
        NotReady: the dataset was not imported, or is not read yet (DATASET_NOT_READY).
    """
    found: Document = doc.get("import") or {}
    if not found.get("read"):
        remedy = "Wait for the import." if found else "See its drops with `ftf dataset stats`."
        raise NotReady(f"{doc['_id']} has no report of an import. {remedy}", reason="DATASET_NOT_READY")
    report: Document | None = found["report"]
    return report
