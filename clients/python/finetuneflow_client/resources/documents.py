"""What a project does with documents: upload, read, cut."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Unpack

from finetuneflow.ingest.v1 import file_pb2, ingest_service_pb2
from finetuneflow_client import names
from finetuneflow_client.errors import FtfError
from finetuneflow_client.filling import filled
from finetuneflow_client.resources.arrivals import arrivals
from finetuneflow_client.resources.file import File
from finetuneflow_client.resources.resource import Resource, named
from finetuneflow_client.resources.settings import ChunkSettings


class WithFiles(Resource):
    """A project, as far as its files go."""

    async def upload(
        self, *paths: str | Path, progress: Callable[[str, int, int], None] | None = None
    ) -> AsyncIterator[File]:
        """Send documents, and yield each file once it was read; `error` says why one could not be.

        The same bytes under the same file name are the file that is there, so a repeat sends and changes nothing.

        Args:
            paths: documents, zip archives of them, and folders, of which all documents are taken.
            progress: called with a document's file name, its bytes sent and its bytes in all.

        Raises:
            DocumentsRefused: after everything else was sent and read: what the server did not take, and why.
            FtfError: what concerns all of them.
        """
        async for message in arrivals(self._services, self.name, [str(path) for path in paths], progress):
            yield File(self._services, message)

    async def files(self) -> AsyncIterator[File]:
        """Yield its files, oldest first."""
        async for message in self._services.files(self.name):
            yield File(self._services, message)

    async def file(self, id: str) -> File:
        """Return a file. Raises FtfError NOT_FOUND."""
        request = ingest_service_pb2.GetFileRequest(name=names.full("files", id, self.name))
        return File(self._services, await self._services.ingest.GetFile(request))

    async def chunk(self, files: Sequence[File | str] = (), **settings: Unpack[ChunkSettings]) -> list[File]:
        """Cut files into chunks, and wait for it; those cut so already stay as they are.

        Args:
            files: which; none: all of the project that could be read.
            settings: how to cut, by the contract's names.

        Raises:
            FtfError: FAILED_PRECONDITION if there is nothing to cut; WorkFailed of the first that cannot be cut.
        """
        request = ingest_service_pb2.ChunkFilesRequest(
            parent=self.name,
            files=[named("files", file, self.name) for file in files],
            settings=filled(file_pb2.ChunkSettings(), settings),
        )
        queued = (await self._services.ingest.ChunkFiles(request)).files
        if not queued:
            raise FtfError("there is no file to cut", "upload one", code="FAILED_PRECONDITION")
        return [await File(self._services, message).wait() for message in queued]

    async def _chunk_new(self, files: Sequence[File | str]) -> None:
        """Cut those of some files (none named: of all) that never were; settings of those that were stay."""
        wanted = {named("files", file, self.name) for file in files}
        found = [file async for file in self.files() if not wanted or file.name in wanted]
        if new := [file for file in found if file.state == "succeeded" and not file.message.HasField("chunking")]:
            await self.chunk(new)
