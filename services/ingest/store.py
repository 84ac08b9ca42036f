"""Files and chunks as documents, and the keys of their objects."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any

from services.common import ids
from services.common.documents.port import Collection, Document
from services.common.errors import AlreadyExists, NotFound
from services.common.objects.port import Stored
from services.common.pages import DEFAULT_PAGE, MAX_PAGE, page
from services.common.resources import INDEXES
from services.common.work import queued

PROJECT = "projects/*"
FILE = "projects/*/files/*"
CHUNK = "projects/*/files/*/chunks/*"

FILE_INDEXES = (*INDEXES, "folder")
CHUNK_INDEXES = ("file", "order", "uid")

_BATCH = 100
_PAGE_TOKENS = 40_000
"""About how many tokens are read from the store at once."""

_ANSWER_BYTES = 3_000_000
"""After so many bytes of text a page of chunks ends early."""


def file_name(project: str, sha256: str, filename: str) -> str:
    """Return the name of the file that has these bytes and this file name."""
    return f"{project}/files/{ids.derived_id('f', sha256, filename)}"


def content_key(folder: str) -> str:
    """Return the key of the bytes as uploaded. folder: as upload_folder gives it."""
    return f"{folder}/content"


def text_key(folder: str, sha256: str) -> str:
    """Return the key of an extracted text."""
    return f"{folder}/text/{sha256}"


def upload_folder(project: str, now: float) -> str:
    """Return the folder of one upload's objects: no other upload ever has it, so removing it harms nobody."""
    return f"{project}/documents/{ids.sortable(now)}"


def folder_time(key: str) -> float | None:
    """Return when the upload of an object began, in seconds since 1970, or None if the key is none of these."""
    parts = key.split("/")
    if len(parts) < 5 or parts[0] != "projects" or parts[2] != "documents":
        return None
    try:
        return int(parts[3][:13], 16) / 1000
    except ValueError:
        return None


def new_file(
    project: str, filename: str, mime_type: str, folder: str, stored: Stored, now: float, path: str = ""
) -> Document:
    """Return the fields of a file that was just uploaded; its extraction is queued."""
    content = {"filename": filename, "size_bytes": stored.size, "sha256": stored.sha256, "key": stored.key}
    return {
        "parent": project,
        "display_name": filename,
        # Where it lay in the folder or archive that it came from.
        "path": path,
        "work": queued(now),
        "content": content,
        "mime_type": mime_type,
        "folder": folder,
        "text": None,
        "language": "",
        "chunking": None,
        # What is to be cut next: settings and tokenizer; taken up by the work that runs or comes.
        "wish": None,
        # The work has looked for a wish for the last time and is about to end.
        "closing": False,
        # Counts cuttings; chunks carry it, and readers see those of the one that chunking names.
        "edition": 0,
    }


def requeue(doc: Document, now: float) -> None:
    """Queue ended work again; the fence goes on, so that nothing of the earlier attempt can write."""
    before = doc["work"]
    doc["work"] = queued(now, before["attempt"])
    doc["work"]["lease"]["fence"] = before["lease"]["fence"]
    doc["closing"] = False


class ChunkStore:
    """The chunks of all files: immutable documents, one for each."""

    def __init__(self, collection: Collection) -> None:
        self._collection = collection

    async def add(self, file: Document, chunks: Iterable[dict[str, Any]]) -> int:
        """Store the chunks of a file's current cutting; return how many. Repeating it changes nothing.

        Args:
            chunks: as the sandbox wrote them: fields of core.chunks.Chunk.
        """
        count = 0
        batch: list[Document] = []
        for chunk in chunks:
            batch.append(_document(file, chunk))
            count += 1
            if len(batch) == _BATCH:
                await self._insert(batch)
                batch = []
        await self._insert(batch)
        return count

    async def _insert(self, batch: Sequence[Document]) -> None:
        outcomes = await asyncio.gather(*(self._collection.insert(doc) for doc in batch), return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException) and not isinstance(outcome, AlreadyExists):
                raise outcome

    async def get(self, name: str, file: Document) -> Document:
        """Return a chunk of a file's current cutting.

        Raises:
            NotFound: there is none of that name.
        """
        doc = await self._collection.get(name)
        chunking = file["chunking"]
        if doc is None or chunking is None or doc["uid"] != file["uid"] or doc["edition"] != chunking["edition"]:
            raise NotFound(f"chunk {name} does not exist. List the file's chunks to see what does.")
        return doc

    async def page(self, file: Document, page_size: int, page_token: str) -> tuple[list[Document], str]:
        """Return chunks of a file's current cutting in order, and the next page's token.

        A page ends early when its texts have three megabytes.

        Raises:
            InvalidArgument: page_size is out of range, or page_token is not one of this list's.
        """
        chunking = file["chunking"]
        where = {"file": file["_id"], "uid": file["uid"], "edition": chunking["edition"]}
        step = max(1, min(_BATCH, _PAGE_TOKENS // chunking["settings"]["max_tokens"]))
        wanted = page_size or DEFAULT_PAGE
        # A size out of range goes on as it is, to be refused.
        first = min(wanted, step) if 0 < wanted <= MAX_PAGE else wanted
        found, token = await page(self._collection, where, first, page_token)
        size = _bytes(found)
        while token and len(found) < wanted and size < _ANSWER_BYTES:
            more, token = await page(self._collection, where, min(step, wanted - len(found)), token)
            found.extend(more)
            size += _bytes(more)
        return found, token

    async def drop(self, file: str, before_edition: int | None = None) -> None:
        """Remove a file's chunks: those of earlier cuttings, or all with None."""
        where: Document = {"file": file}
        if before_edition is not None:
            where["edition"] = {"$lt": before_edition}
        while batch := await self._collection.find(where, limit=_BATCH):
            await asyncio.gather(*(self._collection.delete(doc["_id"]) for doc in batch))

    async def owners(self) -> AsyncIterator[tuple[str, str]]:
        """Yield (file, uid) of every file that has chunks, each once."""
        last = ""
        while found := await self._collection.find({"uid": {"$gt": last}}, sort="uid", limit=1):
            last = found[0]["uid"]
            yield found[0]["file"], last

    async def drop_owner(self, uid: str) -> None:
        """Remove the chunks of a file that is gone."""
        while batch := await self._collection.find({"uid": uid}, limit=_BATCH):
            await asyncio.gather(*(self._collection.delete(doc["_id"]) for doc in batch))


def _document(file: Document, chunk: dict[str, Any]) -> Document:
    return {
        **chunk,
        "_id": f"{file['_id']}/chunks/c{file['uid'][:8]}-{file['edition']}-{chunk['index']:06d}",
        "order": f"{chunk['index']:08d}",
        "file": file["_id"],
        "uid": file["uid"],
        "edition": file["edition"],
        "text_sha256": file["text"]["artifact"]["sha256"],
    }


def _bytes(docs: Sequence[Document]) -> int:
    return sum(4 * len(doc["text"]) + 40 * len(doc.get("gaps", ())) for doc in docs)
