"""What an object store must do; the same contract tests run against every implementation.

An object is bytes under a key, written once and never changed. Keys are paths of segments joined by "/", of letters,
digits and `. _ @ = + -`, at most 1,024 characters; a segment has at most 255 and is neither empty nor "." nor "..". A
key is never also the folder of another: where `a/b` is an object, `a/b/c` cannot be one.

Errors of every method: Unavailable (the store does not answer), which may be repeated; InvalidArgument for a bad key.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterable, AsyncIterator
from dataclasses import dataclass
from typing import Literal, Protocol

from services.common.errors import InvalidArgument

BLOCK = 1_048_576
"""Bytes that are read and hashed at a time."""

_SEGMENT = re.compile(r"[A-Za-z0-9._@=+-]{1,255}")
_MAX_KEY = 1_024


@dataclass(frozen=True)
class Stored:
    """What is stored under a key.

    Args:
        key: the object's key.
        size: its bytes.
        sha256: the hash of its bytes, as 64 hexadecimal digits.
    """

    key: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Parts:
    """Where to write one large object in parts; the URLs are https://….

    Args:
        upload: names the upload, to be granted anew.
        part_bytes: bytes of each part but the last, which has the rest.
        urls: for a PUT of each part, in order.
        complete: for a POST of S3's CompleteMultipartUpload.
        abort: for a DELETE of what was written.
    """

    upload: str
    part_bytes: int
    urls: tuple[str, ...]
    complete: str
    abort: str


class Objects(Protocol):
    """A service's objects."""

    async def put(self, key: str, data: bytes | AsyncIterable[bytes]) -> Stored:
        """Store the bytes whole or not at all; they are durable when this returns.

        Nothing is ever overwritten. Repeating it, with the same bytes or others, returns what is there already, so
        compare the hash where it matters. Of several writers of one key the first to finish wins. When `data` raises,
        or the call is cancelled, nothing is left.

        Raises:
            Exhausted: the disk or the bucket is full (DISK_FULL).
        """
        ...

    def get(self, key: str, offset: int = 0, length: int = -1) -> AsyncIterator[bytes]:
        """Yield the bytes in blocks of at most 1 MiB.

        Args:
            key: the object's key.
            offset: the first byte wanted; at or past the end there is nothing to yield.
            length: most bytes wanted; -1 for all that follow.

        Raises:
            NotFound: there is no such object. Raised at the first step of the iteration.
        """
        ...

    async def read(self, key: str) -> bytes:
        """Return all bytes at once; for objects known to be small.

        Raises:
            NotFound: there is no such object.
        """
        ...

    async def size(self, key: str) -> int | None:
        """Return the size in bytes, or None if there is no such object."""
        ...

    async def digest(self, key: str) -> Stored:
        """Read the object through and return its size and hash, as they are now.

        Raises:
            NotFound: there is no such object.
        """
        ...

    def list(self, prefix: str) -> AsyncIterator[str]:
        """Yield the keys that begin with the prefix, in order of their characters; an empty prefix yields all.

        Unfinished writes do not appear.
        """
        ...

    async def delete(self, key: str) -> None:
        """Remove the object; if it is not there, do nothing."""
        ...

    async def grant(self, key: str, mode: Literal["read", "write"], ttl: float = 3600) -> str:
        """Return a URL that lets whoever holds it read or write this one object.

        `file:///…` is a path on this machine: a writer writes a temporary file beside it and renames it. `https://…`
        is presigned for GET or PUT. Repeating it gives another URL, equally good.

        Args:
            key: the object's key; for "read" it need not exist yet.
            mode: what the holder may do.
            ttl: seconds for which the URL is good, where the store can tell; at most 604,800.
        """
        ...

    async def grant_parts(self, key: str, size: int, upload: str = "", ttl: float = 3600) -> Parts | None:
        """Return URLs to write a large object in parts, or None where the one URL of `grant` takes as much.

        It is there once it is completed; whoever does not complete it aborts it.

        Args:
            key: the object's key.
            size: its bytes.
            upload: one that was granted before, for other URLs to it, equally good; "" begins one.
            ttl: see `grant`.

        Raises:
            InvalidArgument: the store takes no object of that size.
        """
        ...

    async def check(self) -> float:
        """Make sure that the store answers, takes the credentials and can be written to.

        Returns:
            Seconds by which the store's clock is ahead of this machine's; 0 where it has no clock of its own.

        Raises:
            Unavailable: it does not answer now; or, with reason CONFIGURATION, a setting is wrong: waiting is no use.
        """
        ...


def check_key(key: str) -> None:
    """Refuse a key that the module's docstring does not allow.

    Raises:
        InvalidArgument: the key is empty, too long, absolute, or has a segment or character that is not allowed.
    """
    good = len(key) <= _MAX_KEY and all(
        _SEGMENT.fullmatch(segment) and segment not in (".", "..") for segment in key.split("/")
    )
    if not good:
        raise InvalidArgument(
            f"{key[:200]!r} is not an object's key. Join segments of letters, digits and . _ @ = + - by slashes."
        )
