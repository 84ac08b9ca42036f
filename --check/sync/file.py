"""Files: documents that were uploaded; blocking.

Made of resources/file.py by clients/python/generate.py; do not edit.
"""

from __future__ import annotations

from collections.abc import Iterator

from finetuneflow.ingest.v1 import chunk_pb2, file_pb2
from finetuneflow_client import resources
from finetuneflow_client.blocking import iterate, run
from finetuneflow_client.errors import FtfError
from finetuneflow_client.sync.resource import Working


class File(Working):
    """A document: read, then cut into chunks."""

    of: resources.file.File

    @property
    def message(self) -> file_pb2.File:
        """What the server told: the contract's message, with every field."""
        return self.of.message

    @property
    def display_name(self) -> str:
        """The file name, without folders: "handbook.pdf"."""
        return self.of.display_name

    @property
    def error(self) -> FtfError | None:
        """Why it could not be read or cut; None while that goes on and after it succeeded."""
        return self.of.error

    def refresh(self) -> File:
        """Ask the server how it is now. Raises FtfError NOT_FOUND."""
        return File(run(self.of.refresh()))

    def watch(self) -> Iterator[File]:
        """Yield the file now and at every change until the work on it has ended, across broken connections."""
        return map(File, iterate(self.of.watch()))

    def wait(self) -> File:
        """Wait until the work on it has ended. Raises WorkFailed or WorkCancelled."""
        return File(run(self.of.wait()))

    def chunks(self) -> Iterator[chunk_pb2.Chunk]:
        """Yield its chunks, in order. Raises FtfError FAILED_PRECONDITION (NOT_CHUNKED) before it was cut."""
        return iterate(self.of.chunks())

    def cancel(self) -> None:
        """Stop the work on it; if that has ended, nothing changes. Raises FtfError NOT_FOUND."""
        return run(self.of.cancel())

    def delete(self) -> None:
        """Delete it and its chunks; datasets keep the examples made of it. Raises FtfError NOT_FOUND."""
        return run(self.of.delete())

    def _repr_html_(self) -> str:
        """Return it for a notebook: what it is, how far it is read and cut, and what could not be read."""
        return self.of._repr_html_()
