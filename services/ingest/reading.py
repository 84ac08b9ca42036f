"""The work on files: reading documents and cutting texts, in child processes."""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from services.common.documents.port import Document
from services.common.errors import Exhausted, FineTuneFlowError, NotReady, Unavailable
from services.common.objects.port import BLOCK, Objects
from services.common.protoform import count_to_document
from services.common.resources import Mutate
from services.common.work import Cancelled, Claim, Superseded
from services.ingest.ports import Progress, Ranks, Worker
from services.ingest.sandbox.job import Job, Limits
from services.ingest.store import ChunkStore, text_key

_MOST_COUNT = 1 << 53


class Reading:
    """Does the work on one file: extraction if it has no text yet, then each cutting that somebody wishes.

    Args:
        scratch: an existing folder for the files of running child processes.
    """

    def __init__(
        self, objects: Objects, chunks: ChunkStore, worker: Worker, ranks: Ranks, scratch: Path, limits: Limits
    ) -> None:
        self._objects = objects
        self._chunks = chunks
        self._worker = worker
        self._ranks = ranks
        self._scratch = scratch
        self._limits = limits

    async def handle(self, claim: Claim) -> Mutate:
        """Work until nothing is wished any more; see workloop.WorkLoop."""
        try:
            if claim.doc["closing"]:  # an earlier attempt was about to end when its process died
                await claim.update(_open_again)
            if claim.doc["text"] is None:
                await self._extract(claim)
            while wish := (await claim.update(_settle))["wish"]:
                await self._cut(claim, wish)
        except (Superseded, Cancelled):
            raise
        except OSError as error:
            await claim.update(_give_up)
            raise _disk_trouble(error, self._scratch) from error
        except FineTuneFlowError:
            await claim.update(_give_up)
            raise
        return _open_again

    async def _extract(self, claim: Claim) -> None:
        file = claim.doc
        await claim.progress("extract", 0, 0, "pages")
        async with self._folder() as folder:
            source, target = folder / "source", folder / "target"
            await self._fetch(file["content"]["key"], source)
            job = Job(
                task="extract",
                source=str(source),
                target=str(target),
                limits=self._limits,
                filename=file["display_name"],
                mime_type=file["mime_type"],
            )
            found = await self._worker.run(job, _told(claim))
            artifact = await self._keep(file, target, str(found["sha256"]))
        text = {
            "artifact": artifact,
            "characters": found["characters"],
            "pages": found["pages"],
            "count": count_to_document(found["stage"], found["came"], found["went"], found["dropped"]),
            "extractor": found["extractor"],
        }
        await claim.update(lambda doc: doc.update(text=text))

    async def _keep(self, file: Document, target: Path, sha256: str) -> Document:
        stored = await self._objects.put(text_key(file["folder"], sha256), _blocks(target))
        if stored.sha256 != sha256:
            # Nothing else writes under this key: the child's answer and its file disagree.
            raise FineTuneFlowError("The extracted text is not what was announced. Upload the document again.")
        return {
            "filename": file["display_name"] + ".json",
            "size_bytes": stored.size,
            "sha256": stored.sha256,
            "key": stored.key,
        }

    async def _cut(self, claim: Claim, wish: Document) -> None:
        """Cut the text, store the chunks, then let readers see them and no earlier ones."""
        file = claim.doc
        settings, tokenizer = wish["settings"], wish["tokenizer"]
        await claim.progress("chunk", 0, 0, "characters")
        async with self._folder() as folder:
            source, target = folder / "text", folder / "chunks"
            await self._fetch(file["text"]["artifact"]["key"], source)
            variables, path = await self._tokenizer(tokenizer, folder)
            job = Job(
                task="cut",
                source=str(source),
                target=str(target),
                limits=self._limits,
                tokenizer=path,
                max_tokens=settings["max_tokens"],
                overlap_tokens=settings["overlap_tokens"],
                strategy=settings.get("strategy", "structure"),
                heading_depth=settings.get("heading_depth", 0),
            )
            made = await self._worker.run(job, _told(claim), variables)
            await self._chunks.add(file, _lines(target))
        edition = file["edition"]

        def switch(doc: Document) -> None:
            doc["chunking"] = {
                "settings": settings,
                "tokenizer": tokenizer,
                "chunks": made["chunks"],
                "tokens": made["tokens"],
                "count": count_to_document("characters", made["characters"], made["covered"], made["dropped"]),
                "gaps": made["gaps"],
                "gap_count": made["gap_count"],
                "edition": edition,
            }
            if doc["wish"] == wish:
                doc["wish"] = None

        await claim.update(switch, event="file.chunked")
        await self._chunks.drop(claim.name, before_edition=edition)

    async def _tokenizer(self, tokenizer: Document, folder: Path) -> tuple[dict[str, str], str]:
        """Return environment and path that lead the child to its tokenizer."""
        if not tokenizer["key"]:
            return {"TIKTOKEN_CACHE_DIR": str(await self._ranks.folder())}, ""
        path = folder / "tokenizer.json"
        if await self._fetch(tokenizer["key"], path) != tokenizer["sha256"]:
            raise NotReady(
                f"The tokenizer of {tokenizer['label']} is not what was recorded. Register the model again.",
                reason="OBJECT_MISMATCH",
            )
        return {}, str(path)

    async def _fetch(self, key: str, path: Path) -> str:
        """Copy an object to a file block by block; return its SHA-256."""
        digest = hashlib.sha256()
        with path.open("wb") as file:
            async for block in self._objects.get(key):
                digest.update(block)
                await asyncio.to_thread(file.write, block)
        return digest.hexdigest()

    @asynccontextmanager
    async def _folder(self) -> AsyncIterator[Path]:
        """A folder of one's own that is gone afterwards."""
        folder = Path(tempfile.mkdtemp(dir=self._scratch))
        try:
            yield folder
        finally:
            await asyncio.shield(asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True))


def _settle(doc: Document) -> None:
    """Begin the next cutting under a number of its own; without a wish, take no further one."""
    doc["closing"] = doc["wish"] is None
    if doc["wish"] is not None:
        doc["edition"] += 1


def _give_up(doc: Document) -> None:
    doc["wish"] = None
    doc["closing"] = True


def _open_again(doc: Document) -> None:
    doc["closing"] = False


def _told(claim: Claim) -> Progress:
    async def tell(phase: str, done: int, total: int, unit: str) -> None:
        most = min(max(total, 0), _MOST_COUNT)
        await claim.progress(phase[:40], min(max(done, 0), most or _MOST_COUNT), most, unit[:40])

    return tell


async def _blocks(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        while block := await asyncio.to_thread(file.read, BLOCK):
            yield block


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the chunks that a child wrote, one line at a time."""
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)


def _disk_trouble(error: OSError, folder: Path) -> FineTuneFlowError:
    if error.errno in (28, 122):  # ENOSPC, EDQUOT
        return Exhausted(f"The disk that holds {folder} is full. Free space there, then repeat.")
    return Unavailable(f"The service could not use {folder} ({error.strerror}). Repeat the call.")
