"""Files: documents that were uploaded."""

from __future__ import annotations

from collections.abc import AsyncIterator

from finetuneflow.ingest.v1 import chunk_pb2, file_pb2, ingest_service_pb2
from finetuneflow_client import watch
from finetuneflow_client.errors import FtfError, from_work
from finetuneflow_client.resources.html import facts
from finetuneflow_client.resources.resource import Working


class File(Working):
    """A document: read, then cut into chunks."""

    message: file_pb2.File

    @property
    def display_name(self) -> str:
        """The file name, without folders: "handbook.pdf"."""
        return self.message.display_name

    @property
    def error(self) -> FtfError | None:
        """Why it could not be read or cut; None while that goes on and after it succeeded."""
        return from_work(self.message.work, self.display_name)

    async def refresh(self) -> File:
        """Ask the server how it is now. Raises FtfError NOT_FOUND."""
        self.message = await self._services.ingest.GetFile(ingest_service_pb2.GetFileRequest(name=self.name))
        return self

    async def watch(self) -> AsyncIterator[File]:
        """Yield the file now and at every change until the work on it has ended, across broken connections."""
        async for message in watch.watch_file(self._services, self.name):
            self.message = message
            yield self

    async def wait(self) -> File:
        """Wait until the work on it has ended. Raises WorkFailed or WorkCancelled."""
        async for _ in self.watch():
            pass
        self._raise_error()
        return self

    async def chunks(self) -> AsyncIterator[chunk_pb2.Chunk]:
        """Yield its chunks, in order. Raises FtfError FAILED_PRECONDITION (NOT_CHUNKED) before it was cut."""
        async for chunk in self._services.chunks(self.name):
            yield chunk

    async def cancel(self) -> None:
        """Stop the work on it; if that has ended, nothing changes. Raises FtfError NOT_FOUND."""
        self.message = await self._services.ingest.CancelFile(ingest_service_pb2.CancelFileRequest(name=self.name))

    async def delete(self) -> None:
        """Delete it and its chunks; datasets keep the examples made of it. Raises FtfError NOT_FOUND."""
        await self._services.ingest.DeleteFile(ingest_service_pb2.DeleteFileRequest(name=self.name))

    def _repr_html_(self) -> str:
        """Return it for a notebook: what it is, how far it is read and cut, and what could not be read."""
        cut, text = self.message.chunking, self.message.text
        known = {
            "file": self.name,
            "name": self.message.path or self.display_name,
            "state": self.state,
            "error": self.error or "",
            "size": f"{self.message.content.size_bytes:,} bytes",
            "type": self.message.mime_type,
            "language": self.message.language,
            "text": f"{text.characters:,} characters" + (f", {text.pages:,} pages" if text.pages else ""),
            "chunks": f"{cut.chunks:,} with {cut.tokens:,} tokens" if cut.chunks else "",
        }
        return facts(known)
