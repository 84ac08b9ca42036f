"""Servicers that keep everything in memory and do just enough for a client, with faults on demand."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, MutableMapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

import grpc
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from finetuneflow.common.v1 import artifact_pb2, server_service_pb2, server_service_pb2_grpc, work_pb2
from finetuneflow.hardware.v1 import (
    device_pb2,
    hardware_service_pb2,
    hardware_service_pb2_grpc,
    model_pb2,
    plan_pb2,
)
from finetuneflow.ingest.v1 import chunk_pb2, file_pb2, ingest_service_pb2, ingest_service_pb2_grpc, project_pb2

CODES = {c.name: c for c in grpc.StatusCode}
PAGE = 2
RUNNING = work_pb2.WORK_STATE_RUNNING


@dataclass
class World:
    """What the servicers know. It outlives a server, as a database does."""

    projects: dict[str, project_pb2.Project] = field(default_factory=dict)
    files: dict[str, file_pb2.File] = field(default_factory=dict)
    uploads: dict[str, bytes] = field(default_factory=dict)
    models: dict[str, model_pb2.Model] = field(default_factory=dict)
    endpoints: dict[str, Any] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    datasets: dict[str, Any] = field(default_factory=dict)
    examples: dict[str, Any] = field(default_factory=dict)
    runs: dict[str, Any] = field(default_factory=dict)
    exports: dict[str, Any] = field(default_factory=dict)
    orphans: list[Any] = field(default_factory=list)
    orphaned_exports: list[Any] = field(default_factory=list)
    content: dict[str, bytes] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    request_ids: dict[str, Any] = field(default_factory=dict)
    steps: int = 6
    # Set when a run is watched for the first time.
    watched: asyncio.Event = field(default_factory=asyncio.Event)
    # Faults: name of the fault → how often it still happens.
    faults: dict[str, int] = field(default_factory=dict)

    def happens(self, fault: str) -> bool:
        """Use up one occurrence of a fault."""
        left = self.faults.get(fault, 0)
        self.faults[fault] = max(left - 1, 0)
        return left > 0

    def artifact(self, filename: str, data: bytes) -> artifact_pb2.Artifact:
        """Keep bytes and describe them."""
        digest = hashlib.sha256(data).hexdigest()
        self.content[digest] = data
        return artifact_pb2.Artifact(filename=filename, size_bytes=len(data), sha256=digest)


async def abort(context: Any, code: str, message: str, reason: str = "") -> NoReturn:
    """End a call as the services do: with a status that carries an ErrorInfo, unless there is no reason."""
    if not reason:
        await context.abort(CODES[code], message)
    detail = any_pb2.Any()
    detail.Pack(error_details_pb2.ErrorInfo(reason=reason, domain="finetuneflow"))
    status = status_pb2.Status(code=CODES[code].value[0], message=message, details=[detail])
    await context.abort_with_status(rpc_status.to_status(status))
    raise AssertionError


async def found(context: Any, things: MutableMapping[str, Any], name: str) -> Any:
    """Return a thing, or NOT_FOUND."""
    if name not in things:
        await abort(context, "NOT_FOUND", f"{name} does not exist. List its kind to see what does.", "NOT_FOUND")
    return things[name]


def paged(things: MutableMapping[str, Any], parent: str, request: Any) -> tuple[list[Any], str]:
    """Return a page of PAGE things below a parent, in the order in which they were made, and the next token."""
    matching = [thing for name, thing in things.items() if name.startswith(parent)]
    begin = int(request.page_token or 0)
    following = begin + PAGE
    return matching[begin:following], str(following) if following < len(matching) else ""


def done(phase: str = "") -> work_pb2.Work:
    """Return work that succeeded."""
    return work_pb2.Work(state=work_pb2.WORK_STATE_SUCCEEDED, progress=work_pb2.Progress(phase=phase), attempt=1)


def failed(message: str, reason: str) -> work_pb2.Work:
    """Return work that failed."""
    error = status_pb2.Status(code=9, message=message)
    error.details.add().Pack(error_details_pb2.ErrorInfo(reason=reason, domain="finetuneflow"))
    return work_pb2.Work(state=work_pb2.WORK_STATE_FAILED, error=error, attempt=1)


def paused(message: str, reason: str) -> work_pb2.Work:
    """Return work that is paused, for a reason."""
    work = failed(message, reason)
    work.state = work_pb2.WORK_STATE_PAUSED
    return work


class Server(server_service_pb2_grpc.ServerServiceServicer):
    """Says what the server is."""

    def __init__(self, world: World) -> None:
        self.world = world

    async def GetServerInfo(self, request: Any, context: Any) -> Any:
        if self.world.happens("away"):
            await abort(context, "UNAVAILABLE", "going down")
        if self.world.happens("odd"):
            await abort(context, "UNKNOWN", "something odd\nover two lines")
        return server_service_pb2.GetServerInfoResponse(
            version="0.1.0", services=["ingest"], capabilities=["method:LORA"]
        )


class Ingest(ingest_service_pb2_grpc.IngestServiceServicer):
    """Projects, files, chunks."""

    def __init__(self, world: World) -> None:
        self.world = world

    async def CreateProject(self, request: Any, context: Any) -> Any:
        self.world.calls.append("CreateProject")
        if request.request_id in self.world.request_ids:
            return self.world.request_ids[request.request_id]
        name = f"projects/{request.project_id}"
        if name in self.world.projects:
            await abort(context, "ALREADY_EXISTS", f"{name} exists. Choose another name.", "ALREADY_EXISTS")
        project = project_pb2.Project(name=name, display_name=request.project.display_name)
        self.world.projects[name] = self.world.request_ids[request.request_id] = project
        if self.world.happens("answer lost"):
            await abort(context, "UNAVAILABLE", "connection reset")
        return project

    async def GetProject(self, request: Any, context: Any) -> Any:
        return await found(context, self.world.projects, request.name)

    async def ListProjects(self, request: Any, context: Any) -> Any:
        page, token = paged(self.world.projects, "", request)
        return ingest_service_pb2.ListProjectsResponse(projects=page, next_page_token=token)

    async def DeleteProject(self, request: Any, context: Any) -> Any:
        await found(context, self.world.projects, request.name)
        del self.world.projects[request.name]
        return ingest_service_pb2.DeleteProjectResponse()

    async def UploadFile(self, requests: AsyncIterator[Any], context: Any) -> Any:
        header = (await anext(requests)).header
        await found(context, self.world.projects, header.parent)
        if not header.filename.endswith((".md", ".txt", ".pdf")):
            message = f"{header.filename} is of no known type. Send PDF, DOCX, TXT or Markdown."
            await abort(context, "INVALID_ARGUMENT", message, "UNSUPPORTED_FILE_TYPE")
        parts = [request.data async for request in requests]
        if self.world.happens("upload breaks"):
            await abort(context, "UNAVAILABLE", "going down")
        assert all(0 < len(part) <= 1 << 20 for part in parts)
        data = b"".join(parts)
        assert hashlib.sha256(data).hexdigest() == header.sha256
        assert len(data) == header.size_bytes
        name = f"{header.parent}/files/f-{hashlib.sha256(header.filename.encode() + data).hexdigest()[:8]}"
        work = (
            failed("The document has no text. Run OCR over it first.", "NO_TEXT")
            if b"scan" in data
            else done("extract")
        )
        self.world.files[name] = file_pb2.File(
            name=name,
            display_name=header.filename,
            work=work,
            content=self.world.artifact(header.filename, data),
            text=file_pb2.ExtractedText(characters=len(data), pages=1),
        )
        self.world.uploads[name] = data
        return self.world.files[name]

    async def GetFile(self, request: Any, context: Any) -> Any:
        return await found(context, self.world.files, request.name)

    async def ListFiles(self, request: Any, context: Any) -> Any:
        page, token = paged(self.world.files, request.parent, request)
        return ingest_service_pb2.ListFilesResponse(files=page, next_page_token=token)

    async def DeleteFile(self, request: Any, context: Any) -> Any:
        await found(context, self.world.files, request.name)
        del self.world.files[request.name]
        return ingest_service_pb2.DeleteFileResponse()

    async def WatchFile(self, request: Any, context: Any) -> AsyncIterator[Any]:
        yield ingest_service_pb2.WatchFileResponse(file=await found(context, self.world.files, request.name))

    async def ChunkFiles(self, request: Any, context: Any) -> Any:
        self.world.calls.append("ChunkFiles")
        mine = [f for n, f in self.world.files.items() if n.startswith(request.parent) and n in (request.files or [n])]
        good = [file for file in mine if file.work.state == work_pb2.WORK_STATE_SUCCEEDED]
        for file in good:
            file.chunking.CopyFrom(file_pb2.Chunking(settings=request.settings, chunks=2, tokens=40, tokenizer="fake"))
        return ingest_service_pb2.ChunkFilesResponse(files=good, failed_files=[f for f in mine if f not in good])

    async def PreviewChunks(self, request: Any, context: Any) -> Any:
        self.world.calls.append("PreviewChunks")
        file = await found(context, self.world.files, request.file)
        return ingest_service_pb2.PreviewChunksResponse(
            chunking=file_pb2.Chunking(settings=request.settings, chunks=3, tokens=60, tokenizer="fake", gap_count=2),
            histogram=[ingest_service_pb2.TokenBin(least=1, most=39, chunks=3)],
            chunks=[self._chunk(file.name, index) for index in range(request.max_chunks or 2)],
        )

    async def GetChunk(self, request: Any, context: Any) -> Any:
        return self._chunk(request.name.rsplit("/chunks/", 1)[0], 0)

    async def ListChunks(self, request: Any, context: Any) -> Any:
        file = await found(context, self.world.files, request.parent)
        chunks = [self._chunk(file.name, index) for index in range(file.chunking.chunks)]
        return ingest_service_pb2.ListChunksResponse(chunks=chunks)

    def _chunk(self, file: str, index: int) -> chunk_pb2.Chunk:
        places = [chunk_pb2.Place(page=index + 1)]
        return chunk_pb2.Chunk(name=f"{file}/chunks/c{index}", text=f"Chunk {index}.", tokens=20, places=places)


class Hardware(hardware_service_pb2_grpc.HardwareServiceServicer):
    """One machine and its models."""

    def __init__(self, world: World) -> None:
        self.world = world

    async def GetInventory(self, request: Any, context: Any) -> Any:
        return device_pb2.Inventory(
            node="here", cpu_cores=2, memory_bytes=24 * 10**9, summary="no GPU: training runs on the CPU"
        )

    async def CreateModel(self, request: Any, context: Any) -> Any:
        source = request.model.local_path or request.model.hub_id
        if "missing" in source:
            await abort(
                context, "NOT_FOUND", f"{source} is not there. Check the hub id or the folder.", "MODEL_NOT_FOUND"
            )
        name = "models/" + (request.model_id or source.rsplit("/", 1)[-1].lower())
        model = model_pb2.Model(name=name, revision="abc123", parameters=135_000_000, has_chat_template=True)
        model.MergeFrom(request.model)
        return self.world.models.setdefault(name, model)

    async def GetModel(self, request: Any, context: Any) -> Any:
        return await found(context, self.world.models, request.name)

    async def ListModels(self, request: Any, context: Any) -> Any:
        page, token = paged(self.world.models, "", request)
        return hardware_service_pb2.ListModelsResponse(models=page, next_page_token=token)

    async def DeleteModel(self, request: Any, context: Any) -> Any:
        await found(context, self.world.models, request.name)
        del self.world.models[request.name]
        return hardware_service_pb2.DeleteModelResponse()

    async def RecommendTraining(self, request: Any, context: Any) -> Any:
        await found(context, self.world.models, request.model)
        if self.world.happens("architecture unknown"):
            await abort(context, "FAILED_PRECONDITION", "Not known. Train without.", "ARCHITECTURE_UNKNOWN")
        if request.config.lora.r > 64:
            await abort(context, "INVALID_ARGUMENT", "r is too large. Choose a smaller one.", "INVALID_FIELD")
        estimate = plan_pb2.MemoryEstimate(weights=10**9, peak=2 * 10**9, available=24 * 10**9, fits=True, device="cpu")
        advice = plan_pb2.Recommendation(estimate=estimate, reasons=["There is no GPU."])
        advice.config.learning_rate = 1e-4
        advice.config.lora.r = 8
        advice.config.MergeFrom(request.config)
        return advice
