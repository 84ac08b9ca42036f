"""The ingest service, over gRPC."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any

from google.protobuf.json_format import MessageToDict

from finetuneflow.common.v1 import work_pb2
from finetuneflow.ingest.v1 import chunk_pb2, file_pb2, ingest_service_pb2, ingest_service_pb2_grpc
from services.common.channels import Peers
from services.common.errors import NotFound, NotReady
from services.common.statuses import from_status
from services.dataset.core.example import Source
from services.dataset.core.marks import neutral
from services.dataset.ports import Document

PAGE = 200


class GrpcDocuments:
    """See ports.Documents."""

    def __init__(self, peers: Peers) -> None:
        self._stub: ingest_service_pb2_grpc.IngestServiceAsyncStub = ingest_service_pb2_grpc.IngestServiceStub(
            peers.ingest
        )  # type: ignore[assignment]  # async by its channel

    async def project(self, name: str) -> None:
        """Return if the project exists."""
        await self._stub.GetProject(ingest_service_pb2.GetProjectRequest(name=name))

    async def files(self, project: str, names: Sequence[str]) -> list[Document]:
        """Return the chunked files of those names, or all of the project."""
        if names:
            found = [await self._stub.GetFile(ingest_service_pb2.GetFileRequest(name=name)) for name in names]
            _check_read(found)
            bare = [f.display_name for f in found if not f.HasField("chunking")]
            if bare:
                raise NotReady(f"{', '.join(bare)} has not been chunked. Run `ftf chunk`.", reason="NOT_CHUNKED")
        else:
            found = [f async for f in self._all(project) if f.HasField("chunking")]
        if not found:
            raise NotReady(f"No file of {project} has been chunked. Run `ftf chunk`.", reason="NOT_CHUNKED")
        return [Document(f.name, f.display_name, f.content.sha256, f.language.replace("und", "")) for f in found]

    async def _all(self, project: str) -> AsyncIterator[file_pb2.File]:
        token = ""
        while True:
            request = ingest_service_pb2.ListFilesRequest(parent=project, page_size=PAGE, page_token=token)
            page = await self._stub.ListFiles(request)
            for file in page.files:
                yield file
            token = page.next_page_token
            if not token:
                return

    async def facts(self, project: str, names: Sequence[str], everything: bool) -> list[dict[str, Any]]:
        """Return what reading and cutting made of files."""
        found = {f.name: f async for f in self._all(project)} if everything else {}
        for name in names:
            if name not in found:
                with contextlib.suppress(NotFound):
                    found[name] = await self._stub.GetFile(ingest_service_pb2.GetFileRequest(name=name))
        return [_facts(file) for file in found.values()]

    async def chunks(self, file: Document) -> AsyncIterator[Source]:
        """Yield the chunks of a file in order."""
        token = ""
        while True:
            request = ingest_service_pb2.ListChunksRequest(parent=file.name, page_size=PAGE, page_token=token)
            page = await self._stub.ListChunks(request)
            # About 1 ms a chunk, and there may be thousands.
            for source in await asyncio.to_thread(_sources, page.chunks, file):
                yield source
            token = page.next_page_token
            if not token:
                return


def _check_read(files: Sequence[file_pb2.File]) -> None:
    """Refuse files of which nothing can be cut. Raises NotReady NOT_EXTRACTED."""
    failed = [f for f in files if f.work.state == work_pb2.WORK_STATE_FAILED and not f.HasField("text")]
    if failed:
        names = ", ".join(f.display_name for f in failed)
        raise NotReady(
            f"{names} could not be read. See why with `ftf files`; leave it out, or send another.",
            reason="NOT_EXTRACTED",
        )


def _facts(file: file_pb2.File) -> dict[str, Any]:
    cut = file.HasField("chunking")
    return {
        "name": file.name,
        "display_name": file.display_name,
        "reason": "" if cut else _why(file),
        "text": _balance(file.text.count) if file.text.count.stage else None,
        "characters": _balance(file.chunking.count) if cut and file.chunking.count.stage else None,
    }


def _why(file: file_pb2.File) -> str:
    return (from_status(file.work.error).reason if file.work.HasField("error") else "") or "NOT_CHUNKED"


def _balance(count: work_pb2.StageCount) -> dict[str, Any]:
    dropped = {drop.reason: drop.count for drop in count.dropped}
    return {"stage": count.stage, "in": getattr(count, "in"), "out": count.out, "dropped": dropped}


def _sources(chunks: Iterable[chunk_pb2.Chunk], file: Document) -> list[Source]:
    return [neutral(_source(chunk, file)) for chunk in chunks]


def _source(chunk: chunk_pb2.Chunk, file: Document) -> Source:
    return Source(
        chunk=chunk.name,
        file=file.name,
        file_name=file.display_name,
        text=chunk.text,
        context=tuple(chunk.context),
        spans=tuple((s.start, s.end) for s in chunk.spans),
        places=tuple(_place(p) for p in chunk.places),
        text_sha256=chunk.text_sha256,
        language=file.language,
    )


def _place(place: chunk_pb2.Place) -> dict[str, Any]:
    found = MessageToDict(place, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
    found["span"] = {"start": place.span.start, "end": place.span.end}
    return found
