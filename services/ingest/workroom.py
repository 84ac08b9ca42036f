"""Folders in which child processes find what they need."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from services.common.documents.port import Document
from services.common.errors import Exhausted, NotReady
from services.common.objects.port import Objects
from services.ingest.ports import Ranks

FULL = (errno.ENOSPC, errno.EDQUOT)


def disk_full(folder: Path) -> Exhausted:
    """Return the error for a disk without room."""
    return Exhausted(f"The disk that holds {folder} is full. Free space there, then repeat.")


class Workroom:
    """Gives each piece of work a folder of its own and brings objects there.

    Args:
        scratch: an existing folder for the files of running child processes.
    """

    def __init__(self, objects: Objects, ranks: Ranks, scratch: Path) -> None:
        self._objects = objects
        self._ranks = ranks
        self.scratch = scratch

    async def tokenizer(self, tokenizer: Document, folder: Path) -> tuple[dict[str, str], str]:
        """Return environment and path that lead the child to its tokenizer."""
        if not tokenizer["key"]:
            return {"TIKTOKEN_CACHE_DIR": str(await self._ranks.folder())}, ""
        path = folder / "tokenizer.json"
        if await self.fetch(tokenizer["key"], path) != tokenizer["sha256"]:
            raise NotReady(
                f"The tokenizer of {tokenizer['label']} is not what was recorded. Register the model again.",
                reason="OBJECT_MISMATCH",
            )
        return {}, str(path)

    async def fetch(self, key: str, path: Path) -> str:
        """Copy an object to a file block by block; return its SHA-256."""
        digest = hashlib.sha256()
        with path.open("wb") as file:
            async for block in self._objects.get(key):
                digest.update(block)
                await asyncio.to_thread(file.write, block)
        return digest.hexdigest()

    @asynccontextmanager
    async def folder(self) -> AsyncIterator[Path]:
        """A folder of one's own that is gone afterwards."""
        folder = Path(tempfile.mkdtemp(dir=self.scratch))
        try:
            yield folder
        except OSError as error:
            if error.errno in FULL:
                raise disk_full(folder.parent) from error
            raise
        finally:
            await asyncio.shield(asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True))
