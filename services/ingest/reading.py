"""The work on files: reading documents and cutting texts, in child processes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from services.common.confined.limits import Limits
from services.common.documents.port import Document
from services.common.errors import FineTuneFlowError, Unavailable
from services.common.objects.port import BLOCK, Objects
from services.common.protoform import count_to_document
from services.common.resources import Mutate
from services.common.work import Cancelled, Claim, Superseded
from services.ingest.cutting import cut_job, lines, recorded
from services.ingest.ports import Languages, Progress, Worker
from services.ingest.sandbox.job import Job, Ocr
from services.ingest.store import ChunkStore, text_key
from services.ingest.workroom import FULL, Workroom, disk_full

_MOST_COUNT = 1 << 53


@dataclass(frozen=True)
class Means:
    """With what a document is read.

    Args:
        limits: what one child process may use.
        ocr: how pictures of pages are read.
        processes: how many may read one long document at once.
    """

    limits: Limits
    ocr: Ocr
    processes: int


class Reading:
    """Does the work on one file: extraction if it has no text yet, then each cutting that somebody wishes.

    Args:
        room: where the files of running child processes are.
    """

    def __init__(
        self,
        objects: Objects,
        chunks: ChunkStore,
        worker: Worker,
        room: Workroom,
        means: Means,
        languages: Languages,
    ) -> None:
        self._objects = objects
        self._chunks = chunks
        self._worker = worker
        self._room = room
        self._means = means
        self._languages = languages

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
            raise _disk_trouble(error, self._room.scratch) from error
        except FineTuneFlowError:
            await claim.update(_give_up)
            raise
        return _open_again

    async def _extract(self, claim: Claim) -> None:
        file = claim.doc
        await claim.progress("extract", 0, 0, "pages")
        async with self._room.folder() as folder:
            source, target = folder / "source", folder / "target"
            await self._room.fetch(file["content"]["key"], source)
            job = Job(
                task="extract",
                source=str(source),
                target=str(target),
                limits=self._means.limits,
                filename=file["display_name"],
                mime_type=file["mime_type"],
                ocr=self._means.ocr,
                processes=self._means.processes,
            )
            found = await self._worker.run(job, _told(claim))
            artifact = await self._keep(file, target, str(found["sha256"]))
        text = {
            "artifact": artifact,
            "characters": found["characters"],
            "pages": found["pages"],
            "count": count_to_document(found["stage"], found["came"], found["went"], found["dropped"]),
            "extractor": found["extractor"],
            "left": found["left"],
            "left_because": found["left_because"],
            "textless": found["textless"],
            "recognised": found["recognised"],
        }
        language = await self._languages.language(found["sample"])
        await claim.update(lambda doc: doc.update(text=text, language=language))

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
        async with self._room.folder() as folder:
            source, target = folder / "text", folder / "chunks"
            await self._room.fetch(file["text"]["artifact"]["key"], source)
            variables, path = await self._room.tokenizer(tokenizer, folder)
            job = cut_job(source, target, settings, path, self._means.limits)
            made = await self._worker.run(job, _told(claim), variables)
            await self._chunks.add(file, lines(target))
        edition = file["edition"]

        def switch(doc: Document) -> None:
            doc["chunking"] = {**recorded(made, settings, tokenizer), "edition": edition}
            if doc["wish"] == wish:
                doc["wish"] = None

        await claim.update(switch, event="file.chunked")
        await self._chunks.drop(claim.name, before_edition=edition)


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


def _disk_trouble(error: OSError, folder: Path) -> FineTuneFlowError:
    if error.errno in FULL:
        return disk_full(folder)
    return Unavailable(f"The service could not use {folder} ({error.strerror}). Repeat the call.")
