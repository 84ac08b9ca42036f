"""Files: looked at, cancelled, deleted, queued for cutting."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from services.common import ids, work
from services.common.documents.port import Document
from services.common.errors import Conflict, InvalidArgument, NotFound
from services.common.objects.port import Objects
from services.common.resources import Resources
from services.ingest.core.settings import ChunkRules
from services.ingest.ports import Models, ModelTokenizer, Ranks
from services.ingest.projects import Projects
from services.ingest.store import FILE, ChunkStore, requeue

CL100K = ModelTokenizer("cl100k_base", "", "")
_BUSY_SECONDS = 10.0
_BUSY_STEP = 0.05


class _Busy(Exception):
    """The file's work is about to end: look again in a moment."""


@dataclass(frozen=True)
class Queued:
    """What a request to cut did.

    Args:
        files: those that are being cut, or are cut already.
        failed: those without text, because their extraction failed.
    """

    files: Sequence[Document]
    failed: Sequence[Document]


class Files:
    """Documents of projects."""

    def __init__(
        self,
        files: Resources,
        projects: Projects,
        chunks: ChunkStore,
        objects: Objects,
        models: Models,
        ranks: Ranks,
    ) -> None:
        self._files = files
        self._projects = projects
        self._chunks = chunks
        self._objects = objects
        self._models = models
        self._ranks = ranks

    async def get(self, name: str) -> Document:
        """Return a file.

        Raises:
            InvalidArgument: the name is none of a file.
            NotFound: there is none of that name, or its project was deleted.
        """
        (project, _) = ids.parse_name(name, FILE)
        doc = await self._files.get(name)
        await self._projects.get(f"projects/{project}")
        return doc

    async def page(self, parent: str, page_size: int, page_token: str) -> tuple[list[Document], str]:
        """Return a page of a project's files, oldest first.

        Raises:
            NotFound: the project does not exist.
            InvalidArgument: page_size is out of range, or page_token is not one of this list's.
        """
        await self._projects.get(parent, "parent")
        return await self._files.page({"parent": parent}, page_size, page_token)

    async def delete(self, name: str, etag: str) -> None:
        """Delete a file and its chunks; work on it ends.

        Raises:
            NotFound: there is none of that name.
            Conflict: the etag is old.
        """
        ids.parse_name(name, FILE)
        await self._files.delete(name, etag=etag, event="file.deleted")

    async def purge(self, doc: Document) -> None:
        """Remove a deleted file's chunks and objects. Repeating it does nothing."""
        await self._chunks.drop(doc["_id"])
        keys = [key async for key in self._objects.list(doc["folder"] + "/")]
        for key in keys:
            await self._objects.delete(key)

    async def watch(self, name: str) -> AsyncIterator[Document]:
        """Yield a file now and at every change until its work has ended. Raises as get does."""
        await self.get(name)
        async for doc in work.watch(self._files, name):
            yield doc

    async def cancel(self, name: str) -> Document:
        """Stop the work on a file; an ended file stays as it is. Raises as get does."""
        await self.get(name)

        def stop(doc: Document) -> None:
            if not work.ended(doc["work"]):
                doc["wish"] = None
                work.cancel(doc["work"], self._files.clock.now())

        return await self._files.change(name, stop)

    async def cut(self, parent: str, names: Sequence[str], rules: ChunkRules) -> Queued:
        """Queue the cutting of a project's files; a file cut with the same settings and tokenizer stays as it is.

        A file that is still being read is cut right after.

        Args:
            names: the files; none: all of the project.

        Raises:
            NotFound: the project, a file or the model does not exist.
            NotReady: the tokenizer is not to be had.
            InvalidArgument: a file is of another project.
        """
        await self._projects.get(parent, "parent")
        wish = await self.wish(rules)
        for name in names:
            ids.parse_name(name, FILE, "files")
            if not name.startswith(parent + "/"):
                raise InvalidArgument(f"{name} is not a file of {parent}. Name files of one project.", field="files")
            await self._files.get(name)
        found: list[Document] = []
        failed: list[Document] = []
        for name in dict.fromkeys(names) or await self._all(parent):
            try:
                doc = await self._wish(name, wish)
            except NotFound:
                if name in names:
                    raise
                continue  # deleted since it was listed
            (failed if _unread(doc) else found).append(doc)
        return Queued(found, failed)

    async def wish(self, rules: ChunkRules) -> Document:
        """Return settings with the tokenizer that counts for them.

        Raises:
            NotFound: the model does not exist.
            NotReady: the tokenizer is not to be had.
        """
        tokenizer = await self._tokenizer(rules.model)
        return {
            "settings": rules.to_document(),
            "tokenizer": {"label": tokenizer.label, "key": tokenizer.key, "sha256": tokenizer.sha256},
        }

    async def _tokenizer(self, model: str) -> ModelTokenizer:
        if model:
            ids.parse_name(model, "models/*", "settings.model")
            return await self._models.tokenizer(model)
        await self._ranks.folder()
        return CL100K

    async def _all(self, parent: str) -> list[str]:
        docs = await self._files.collection.find({"parent": parent, "delete_time": None}, sort="order")
        return [doc["_id"] for doc in docs]

    async def _wish(self, name: str, wish: Document) -> Document:
        """Note what is to be cut, for the work that runs or for new work."""

        def note(doc: Document) -> None:
            if _unread(doc) or _is_cut(doc, wish):
                return
            if work.ended(doc["work"]):
                doc["wish"] = wish
                requeue(doc, self._files.clock.now())
            elif doc["closing"] or doc["work"]["state"] == "CANCELLING":
                raise _Busy
            else:
                doc["wish"] = wish

        for _ in range(round(_BUSY_SECONDS / _BUSY_STEP)):
            try:
                return await self._files.change(name, note)
            except _Busy:
                await asyncio.sleep(_BUSY_STEP)
        raise Conflict(f"The work on {name} is ending, and takes long. Repeat the call.")


def _unread(doc: Document) -> bool:
    """Whether a file has no text because its extraction failed."""
    return doc["text"] is None and doc["work"]["state"] == "FAILED"


def _is_cut(doc: Document, wish: Document) -> bool:
    chunking = doc["chunking"]
    same = chunking is not None and all(chunking[key] == wish[key] for key in ("settings", "tokenizer"))
    return same and doc["work"]["state"] == "SUCCEEDED"
