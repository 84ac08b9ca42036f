"""The ingest service as the dataset service sees it, in memory: projects, files and chunks that a test puts there."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

import grpc

from finetuneflow.ingest.v1 import chunk_pb2, file_pb2, ingest_service_pb2_grpc, project_pb2
from finetuneflow.ingest.v1 import ingest_service_pb2 as pb
from services.common.errors import NotFound, NotReady
from services.common.runtime import Runtime, Service

SUBJECTS = (
    "Plover barometer",
    "Wren balance",
    "Kestrel pump",
    "Finch probe",
    "Heron valve",
    "Teal furnace",
    "Rook lathe",
)


def text(number: int, sentences: int = 4) -> str:
    """A text with facts of its own for each number."""
    subject = SUBJECTS[number % len(SUBJECTS)] + ("" if number < len(SUBJECTS) else f" mark {number}")
    facts = [
        f"The {subject} weighs {number + 3} kilograms when it is empty.",
        f"The {subject} was first sold in {1950 + number}.",
        f"The filter of the {subject} is changed every {number + 40} days.",
        f"The code of the {subject} is printed under its left foot.",
        f"The {subject} costs {100 + number} crowns without tax.",
        f"The lid of the {subject} has {number + 2} brass screws.",
    ]
    return " ".join(facts[:sentences])


@dataclass
class Ingest:
    """Files by name, each with its chunks' texts; a file without chunks has not been cut."""

    files: dict[str, list[str]] = field(default_factory=dict)
    project: str = "projects/p"
    language: str = ""
    page: int = 2
    """Most of a list that one answer has: few, so that paging is met."""

    def compose(self, runtime: Runtime) -> Service:
        """Return the service."""

        def register(server: grpc.aio.Server) -> None:
            ingest_service_pb2_grpc.add_IngestServiceServicer_to_server(_Ingest(self), server)

        return Service(name="ingest", register=register)

    def file(self, name: str) -> file_pb2.File:
        """Return a file as the service would."""
        if name not in self.files:
            raise NotFound(f"file {name} does not exist.")
        chunks = self.files[name]
        found = file_pb2.File(name=name, display_name=name.rpartition("/")[2] + ".md", language=self.language)
        found.content.sha256 = hashlib.sha256(name.encode()).hexdigest()
        count = found.text.count
        count.stage, count.out = "pages", max(1, len(chunks))
        setattr(count, "in", count.out + 1)
        count.dropped.add(reason="NO_TEXT", count=1)
        if chunks:
            found.chunking.chunks = len(chunks)
            covered = found.chunking.count
            covered.stage, covered.out = "characters", sum(map(len, chunks))
            setattr(covered, "in", covered.out + 2 * (len(chunks) - 1))
            if len(chunks) > 1:
                covered.dropped.add(reason="WHITE_SPACE", count=2 * (len(chunks) - 1))
        return found

    def chunks(self, name: str) -> list[chunk_pb2.Chunk]:
        """Return a file's chunks."""
        found, start = [], 0
        for index, words in enumerate(self.files[name]):
            span = {"start": start, "end": start + len(words)}
            place = {"span": span, "headings": ["Manual", f"Part {index}"], "paragraph": index + 1}
            found.append(
                chunk_pb2.Chunk(
                    name=f"{name}/chunks/c{index}",
                    index=index,
                    text=words,
                    spans=[span],
                    context=["Manual", f"Part {index}"],
                    places=[place],
                    text_sha256=hashlib.sha256("".join(self.files[name]).encode()).hexdigest(),
                )
            )
            start += len(words) + 2
        return found


def library(files: int, chunks: int = 2, sentences: int = 4) -> Ingest:
    """Some files of some chunks, each with facts of its own."""
    return Ingest(
        {f"projects/p/files/f{f}": [text(f * chunks + c, sentences) for c in range(chunks)] for f in range(files)}
    )


def _page(items: list[Any], size: int, token: str) -> tuple[list[Any], str]:
    start = int(token or 0)
    end = start + (size or 100)
    return items[start:end], str(end) if end < len(items) else ""


class _Ingest(ingest_service_pb2_grpc.IngestServiceServicer):
    def __init__(self, ingest: Ingest) -> None:
        self._ingest = ingest

    async def GetProject(self, request: Any, context: Any) -> project_pb2.Project:
        """Return the one project."""
        if request.name != self._ingest.project:
            raise NotFound(f"project {request.name} does not exist.")
        return project_pb2.Project(name=request.name)

    async def GetFile(self, request: Any, context: Any) -> file_pb2.File:
        """Return a file."""
        return self._ingest.file(request.name)

    async def ListFiles(self, request: Any, context: Any) -> pb.ListFilesResponse:
        """Return a page of files."""
        size = min(request.page_size, self._ingest.page)
        names, token = _page(sorted(self._ingest.files), size, request.page_token)
        return pb.ListFilesResponse(files=[self._ingest.file(n) for n in names], next_page_token=token)

    async def ListChunks(self, request: Any, context: Any) -> pb.ListChunksResponse:
        """Return a page of a file's chunks."""
        self._ingest.file(request.parent)
        if not self._ingest.files[request.parent]:
            raise NotReady(f"{request.parent} has not been chunked.", reason="NOT_CHUNKED")
        size = min(request.page_size, self._ingest.page)
        chunks, token = _page(self._ingest.chunks(request.parent), size, request.page_token)
        return pb.ListChunksResponse(chunks=chunks, next_page_token=token)
