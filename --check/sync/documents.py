"""What a project does with documents: upload, read, cut; blocking.

Made of resources/documents.py by clients/python/generate.py; do not edit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Unpack

from finetuneflow_client import resources
from finetuneflow_client.blocking import iterate, run
from finetuneflow_client.resources.settings import ChunkSettings
from finetuneflow_client.sync.file import File
from finetuneflow_client.sync.resource import Resource


class WithFiles(Resource):
    """A project, as far as its files go."""

    of: resources.documents.WithFiles

    def upload(self, *paths: str | Path, progress: Callable[[str, int, int], None] | None = None) -> Iterator[File]:
        """Send documents, and yield each file once it was read; `error` says why one could not be.

        The same bytes under the same file name are the file that is there, so a repeat sends and changes nothing.

        Args:
            paths: documents, zip archives of them, and folders, of which all documents are taken.
            progress: called with a document's file name, its bytes sent and its bytes in all.

        Raises:
            DocumentsRefused: after everything else was sent and read: what the server did not take, and why.
            FtfError: what concerns all of them.
        """
        return map(File, iterate(self.of.upload(*paths, progress=progress)))

    def files(self) -> Iterator[File]:
        """Yield its files, oldest first."""
        return map(File, iterate(self.of.files()))

    def file(self, id: str) -> File:
        """Return a file. Raises FtfError NOT_FOUND."""
        return File(run(self.of.file(id)))

    def chunk(self, files: Sequence[File | str] = (), **settings: Unpack[ChunkSettings]) -> list[File]:
        """Cut files into chunks, and wait for it; those cut so already stay as they are.

        Args:
            files: which; none: all of the project that could be read.
            settings: how to cut, by the contract's names.

        Raises:
            FtfError: FAILED_PRECONDITION if there is nothing to cut; WorkFailed of the first that cannot be cut.
        """
        return [
            File(one)
            for one in run(self.of.chunk([one.of if isinstance(one, File) else one for one in files], **settings))
        ]
