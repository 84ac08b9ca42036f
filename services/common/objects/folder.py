"""Objects as files in a folder: the key is the path. For one machine.

Names with a "~" are never keys: they belong to files that are still being written, ours in `~incoming`, and those of
granted writers beside the name that they will take.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import io
import os
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable
from pathlib import Path
from typing import Literal, ParamSpec, TypeVar

from services.common.errors import Exhausted, FineTuneFlowError, InvalidArgument, NotFound, Unavailable
from services.common.objects.incoming import Incoming, sweep
from services.common.objects.port import BLOCK, Stored, check_key

P = ParamSpec("P")
T = TypeVar("T")

_INCOMING = "~incoming"
_STALE_SECONDS = 86_400.0
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class FolderObjects:
    """A folder of objects, for any number of processes.

    Opening it removes what killed writers left: unfinished files of ours at once, and those of granted writers and
    empty folders after a day.

    Args:
        root: the folder; made if missing.

    Raises:
        Unavailable: the folder cannot be made or read.
    """

    def __init__(self, root: Path | str) -> None:
        self._root = Path(root).absolute()
        self._incoming = self._root / _INCOMING
        try:
            self._incoming.mkdir(parents=True, exist_ok=True)
            sweep(self._incoming)
            _sweep_tree(self._root, time.time() - _STALE_SECONDS)
        except OSError as error:
            raise self._trouble(error) from error

    def path(self, key: str) -> Path:
        """Return the file that holds, or would hold, the object.

        Raises:
            InvalidArgument: the key is bad.
        """
        check_key(key)
        return self._root / key

    async def put(self, key: str, data: bytes | AsyncIterable[bytes]) -> Stored:
        """See port.Objects."""
        path = self.path(key)
        if path.is_file():
            return await self.digest(key)
        incoming = Incoming(self._incoming)
        try:
            async for block in _blocks(data):
                await self._leave_loop(key, incoming.write, block)
            size, sha256 = await self._leave_loop(key, incoming.commit, path, self._root)
            return Stored(key, size, sha256)
        except _Taken:
            return await self.digest(key)
        finally:
            await asyncio.shield(asyncio.to_thread(incoming.discard))

    async def get(self, key: str, offset: int = 0, length: int = -1) -> AsyncIterator[bytes]:
        """See port.Objects."""
        opening = asyncio.ensure_future(self._leave_loop(key, _open, self.path(key), offset))
        try:
            file = await asyncio.shield(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(_close)  # it is opened all the same
            raise
        try:
            while length:
                block = await self._leave_loop(key, file.read, BLOCK if length < 0 else min(BLOCK, length))
                if not block:
                    return
                length -= len(block) if length > 0 else 0
                yield block
        finally:
            file.close()

    async def read(self, key: str) -> bytes:
        """See port.Objects."""
        return await self._leave_loop(key, self.path(key).read_bytes)

    async def size(self, key: str) -> int | None:
        """See port.Objects."""
        path = self.path(key)
        return path.stat().st_size if path.is_file() else None

    async def digest(self, key: str) -> Stored:
        """See port.Objects."""
        size, sha256 = await self._leave_loop(key, _digest, self.path(key))
        return Stored(key, size, sha256)

    async def list(self, prefix: str) -> AsyncIterator[str]:
        """See port.Objects."""
        folder, _, start = prefix.rpartition("/")
        if start:
            check_key(start)
        top = self.path(folder) if folder else self._root
        for key in await asyncio.to_thread(_keys, self._root, top):
            if key.startswith(prefix):
                yield key

    async def delete(self, key: str) -> None:
        """See port.Objects."""
        path = self.path(key)
        if path.is_file():
            await self._leave_loop(key, path.unlink, True)

    async def grant(self, key: str, mode: Literal["read", "write"], ttl: float = 3600) -> str:
        """See port.Objects. The URL's holder needs access to the folder; `ttl` cannot be kept.

        Decode the path with urllib.request.url2pathname. A writer's temporary file is named like the object, with a
        "~" and something random after it; it takes the object's name by a rename.
        """
        path = self.path(key)
        if mode == "write":
            await self._leave_loop(key, _make, path.parent)
        return path.as_uri()

    async def grant_parts(self, key: str, size: int, upload: str = "", ttl: float = 3600) -> None:
        """See port.Objects: a file has no limit of its own."""
        check_key(key)

    async def check(self) -> float:
        """See port.Objects."""
        probe = Incoming(self._incoming)
        try:
            await self._leave_loop("", probe.write, b"")
        finally:
            await asyncio.to_thread(probe.discard)
        return 0.0

    async def _leave_loop(self, key: str, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await asyncio.to_thread(work, *args, **kwargs)
        except OSError as error:
            raise self._explain(error, key) from error

    def _explain(self, error: OSError, key: str) -> FineTuneFlowError:
        if isinstance(error, FileExistsError):
            return _Taken(f"{key!r} lies below an object, or is one already. Choose another key.")
        if isinstance(error, FileNotFoundError):
            return NotFound(f"There is no object {key!r}. It may have been deleted: read again what names it.")
        if isinstance(error, NotADirectoryError | IsADirectoryError):
            return InvalidArgument(f"{key!r} meets a folder where an object is, or the reverse. Choose another key.")
        return self._trouble(error)

    def _trouble(self, error: OSError) -> FineTuneFlowError:
        if error.errno in _FULL:
            return Exhausted(f"The disk that holds {self._root} is full. Free space there and repeat.")
        return Unavailable(f"{self._root} cannot be used ({error.strerror}). Check the disk and its permissions.")


class _Taken(InvalidArgument):
    """Another writer of the key was faster, or the key's parent is an object."""


async def _blocks(data: bytes | AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    """Yield the data in pieces worth a trip to a thread."""
    if isinstance(data, bytes):
        for start in range(0, len(data), BLOCK):
            yield data[start : start + BLOCK]
        return
    pieces: list[bytes] = []
    size = 0
    async for piece in data:
        pieces.append(piece)
        size += len(piece)
        if size >= BLOCK:
            yield b"".join(pieces)
            pieces, size = [], 0
    if pieces:
        yield b"".join(pieces)


def _close(opening: asyncio.Future[io.BufferedReader]) -> None:
    """Close a file that nobody waits for any more."""
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()


def _open(path: Path, offset: int) -> io.BufferedReader:
    file = path.open("rb")
    file.seek(offset)
    return file


def _digest(path: Path) -> tuple[int, str]:
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        return file.tell(), sha256


def _make(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)


def _keys(root: Path, top: Path) -> list[str]:
    keys = []
    for folder, folders, files in os.walk(top):
        folders[:] = [name for name in folders if "~" not in name]
        relative = Path(folder).relative_to(root).as_posix()
        start = "" if relative == "." else f"{relative}/"
        keys += [start + name for name in files if "~" not in name]
    return sorted(keys)


def _sweep_tree(root: Path, before: float) -> None:
    for folder, _, files in os.walk(root, topdown=False):
        here = Path(folder)
        if here == root or here.name == _INCOMING:
            continue
        for name in files:
            if "~" in name and (here / name).lstat().st_mtime < before:
                (here / name).unlink(missing_ok=True)
        if not files and here.stat().st_mtime < before and not any(here.iterdir()):
            with contextlib.suppress(OSError):  # somebody has just put a file there
                here.rmdir()
