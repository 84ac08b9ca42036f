"""A file on its way into the folder: written beside the objects, hashed as it grows, linked to its key when whole.

An unfinished file is locked for as long as its writer lives. One that nobody locks is left over from a kill and may go.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import secrets
import threading
from pathlib import Path


class Incoming:
    """One unfinished file. The methods block, may be called from any thread, and raise OSError.

    After discard, which may come while a write of a cancelled call still waits for its thread, nothing is written.

    Args:
        folder: where unfinished files live, on the file system of the objects.
    """

    def __init__(self, folder: Path) -> None:
        self._lock = threading.Lock()
        self._hash = hashlib.sha256()
        self._size = 0
        self._folder = folder
        self._path: Path | None = None
        self._descriptor = -1
        self._over = False

    def write(self, data: bytes) -> None:
        """Append the bytes."""
        with self._lock:
            self._open()
            self._hash.update(data)
            self._size += len(data)
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]

    def commit(self, target: Path, root: Path) -> tuple[int, str]:
        """Give the file its name, durably; return its size and SHA-256.

        Raises:
            FileExistsError: the name is taken; what is there stays.
        """
        with self._lock:
            path = self._open()
            os.fsync(self._descriptor)
            fresh = not target.parent.exists()
            target.parent.mkdir(parents=True, exist_ok=True)
            os.link(path, target)
            sync_folders(target.parent, root if fresh else target.parent)
            return self._size, self._hash.hexdigest()

    def discard(self) -> None:
        """Remove the unfinished file; the object that came of it stays. Repeating it does nothing."""
        with self._lock:
            self._over = True
            if self._path is not None:
                self._path.unlink(missing_ok=True)
                os.close(self._descriptor)
                self._path = None

    def _open(self) -> Path:
        if self._over:
            raise OSError(errno.ECANCELED, os.strerror(errno.ECANCELED))
        if self._path is None:
            self._path, self._descriptor = _create(self._folder)
        return self._path


def _create(folder: Path) -> tuple[Path, int]:
    while True:
        path = folder / secrets.token_hex(8)
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            return path, descriptor
        os.close(descriptor)  # a sweep took it for left over in the moment before it was locked


def sweep(folder: Path) -> None:
    """Remove the unfinished files whose writers are gone."""
    for path in folder.iterdir():
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink(missing_ok=True)
        except BlockingIOError:
            continue
        finally:
            os.close(descriptor)


def sync_folders(folder: Path, top: Path) -> None:
    """Make the names in a folder durable, and those of its parents up to `top`."""
    while True:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if folder == top:
            return
        folder = folder.parent
