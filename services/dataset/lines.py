"""Lines of a file in order, sorted by way of files: however many they are, memory holds some megabytes of them."""

from __future__ import annotations

import asyncio
import hashlib
import heapq
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterable
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

from services.common.objects.port import BLOCK


class Lines:
    """Takes lines in any order and writes them in the order of their bytes.

    Args:
        folder: an existing folder of its own.
        held_bytes: what is held in memory before it is put aside.
    """

    def __init__(self, folder: Path, held_bytes: int = 32 << 20) -> None:
        self._folder = folder
        self._most = held_bytes
        self._held: list[bytes] = []
        self._size = 0
        self._parts: list[Path] = []

    def add(self, lines: Iterable[bytes]) -> None:
        """Take in some lines, each with its end."""
        for line in lines:
            self._held.append(line)
            self._size += len(line)
        if self._size > self._most:
            part = self._folder / f"part{len(self._parts)}"
            with part.open("wb") as file:
                file.writelines(sorted(self._held))
            self._parts.append(part)
            self._held, self._size = [], 0

    def written(self) -> tuple[Path, int, str]:
        """Write all lines as one file; return it, its bytes and their SHA-256."""
        path, digest, size = self._folder / "lines", hashlib.sha256(), 0
        with ExitStack() as stack:
            parts = [stack.enter_context(part.open("rb")) for part in self._parts]
            target = stack.enter_context(path.open("wb"))
            for line in heapq.merge(*parts, sorted(self._held)):
                target.write(line)
                digest.update(line)
                size += len(line)
        return path, size, digest.hexdigest()


async def blocks(path: Path, offset: int = 0) -> AsyncIterator[bytes]:
    """Yield a file's bytes from an offset on, at most 1 MiB at a time."""
    with path.open("rb") as file:
        file.seek(offset)
        while block := await asyncio.to_thread(file.read, BLOCK):
            yield block


@asynccontextmanager
async def scratch(within: Path) -> AsyncIterator[Path]:
    """A folder that is gone afterwards, in an existing one."""
    folder = Path(await asyncio.to_thread(tempfile.mkdtemp, dir=within))
    try:
        yield folder
    finally:
        await asyncio.shield(asyncio.to_thread(shutil.rmtree, folder, True))
