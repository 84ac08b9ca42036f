"""Calls of the ingest service that its tests share."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil

from finetuneflow.common.v1 import work_pb2
from finetuneflow.ingest.v1 import chunk_pb2, file_pb2, ingest_service_pb2_grpc
from finetuneflow.ingest.v1 import ingest_service_pb2 as pb
from services.ingest.compose import compose
from tests.fakes.running import Served, serving

PROJECT = "projects/p"


@asynccontextmanager
async def ingest(state: Path, **overrides: Any) -> AsyncIterator[tuple[Any, Served]]:
    """The service's stub and server, with a project."""
    async with serving(state, {"ingest": compose}, **overrides) as served, served.channel() as channel:
        stub = ingest_service_pb2_grpc.IngestServiceStub(channel)
        await stub.CreateProject(pb.CreateProjectRequest(project_id="p", request_id="p"))
        yield stub, served


def parts(
    data: bytes, filename: str, *, parent: str = PROJECT, sha256: str = "", size: int = 0, step: int = 1 << 20
) -> Iterator[pb.UploadFileRequest]:
    """Yield an upload's messages."""
    header = pb.UploadHeader(parent=parent, filename=filename, sha256=sha256, size_bytes=size)
    yield pb.UploadFileRequest(header=header)
    for start in range(0, len(data), step):
        yield pb.UploadFileRequest(data=data[start : start + step])


async def uploaded(stub: Any, data: bytes, filename: str, **fields: Any) -> file_pb2.File:
    """Upload a document and return the file as it is then."""
    file: file_pb2.File = await stub.UploadFile(parts(data, filename, **fields))
    return file


async def ended(stub: Any, name: str) -> file_pb2.File:
    """Watch a file until its work has ended."""
    file = file_pb2.File()
    async for answer in stub.WatchFile(pb.WatchFileRequest(name=name)):
        file = answer.file
    return file


async def read(stub: Any, data: bytes, filename: str) -> file_pb2.File:
    """Upload a document and wait until it is read."""
    return await ended(stub, (await uploaded(stub, data, filename)).name)


async def chunked(stub: Any, *files: str, **settings: Any) -> list[file_pb2.File]:
    """Cut files, or all of the project, and wait for it."""
    queued = await queue_chunks(stub, *files, **settings)
    return [await ended(stub, file.name) for file in queued.files]


async def queue_chunks(stub: Any, *files: str, **settings: Any) -> pb.ChunkFilesResponse:
    """Queue the cutting of files, or of all of the project."""
    request = pb.ChunkFilesRequest(parent=PROJECT, files=files, settings=file_pb2.ChunkSettings(**settings))
    answer: pb.ChunkFilesResponse = await stub.ChunkFiles(request)
    return answer


async def chunks_of(stub: Any, file: str, page_size: int = 0) -> list[chunk_pb2.Chunk]:
    """Return all chunks of a file, page by page."""
    found: list[chunk_pb2.Chunk] = []
    token = ""
    while True:
        answer = await stub.ListChunks(pb.ListChunksRequest(parent=file, page_size=page_size, page_token=token))
        found.extend(answer.chunks)
        token = answer.next_page_token
        if not token:
            return found


def balanced(count: work_pb2.StageCount) -> bool:
    """Whether a stage lost nothing silently: in = out + dropped."""
    came: int = getattr(count, "in")
    return came == count.out + sum(drop.count for drop in count.dropped)


def reason(file: file_pb2.File) -> str:
    """Return the reason for which the work on a file failed."""
    from google.rpc import error_details_pb2

    info = error_details_pb2.ErrorInfo()
    file.work.error.details[0].Unpack(info)
    return str(info.reason)


def children() -> list[psutil.Process]:
    """Return the sandbox processes that nurseries of this process have started and that still run."""
    found: list[psutil.Process] = []
    for nursery in psutil.Process().children():
        try:
            if "services.common.confined.nursery" in nursery.cmdline():
                found.extend(child for child in nursery.children() if _works(child))
        except (psutil.NoSuchProcess, OSError):
            continue
    return found


def _works(child: psutil.Process) -> bool:
    """Whether a process neither has ended nor waits for its first command; one that waits answers nowhere."""
    return child.status() != psutil.STATUS_ZOMBIE and os.readlink(f"/proc/{child.pid}/fd/1") != os.devnull


async def child_at_work(other_than: psutil.Process | None = None) -> psutil.Process:
    """Wait for a sandbox process to be there and return it."""
    for _ in range(600):
        if found := [child for child in children() if child != other_than]:
            return found[0]
        await asyncio.sleep(0.02)
    raise AssertionError("no sandbox process was started")
