"""Objects in a bucket of MinIO or any other S3 server: a key is an object's name.

Names with a "~" are never keys: they belong to the check of whether the bucket can be written to.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import itertools
import math
import secrets
import threading
from collections.abc import AsyncIterable, AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Literal, ParamSpec, TypeVar

import urllib3

from services.common.errors import InvalidArgument, NotFound, Unavailable
from services.common.objects import s3url
from services.common.objects.parts import MAX_PARTS, Part, parts
from services.common.objects.port import BLOCK, Parts, Stored, check_key
from services.common.objects.s3requests import CONNECTIONS, S3Requests, Taken

P = ParamSpec("P")
T = TypeVar("T")

MAX_TTL = 604_800
PART_BYTES = 1 << 30
MAX_PART_BYTES = 5 << 30
"""The most that AWS takes in one request: docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html."""
_CHECK = "~check/"
_PAGE = 1_000


class S3Objects:
    """A bucket, for any number of programs. It makes no request before it is used.

    Args:
        url: see s3url.
        keys: access key and secret key.
        part_bytes: what a granted URL takes at most; larger objects are written in parts of as much. 5 MiB to 5 GiB.

    Raises:
        InvalidArgument: the URL is malformed (CONFIGURATION).
    """

    def __init__(self, url: str, keys: tuple[str, str] = ("", ""), part_bytes: int = PART_BYTES) -> None:
        self._requests = S3Requests(s3url.parse(url), keys)
        self._part_bytes = part_bytes
        self._threads = ThreadPoolExecutor(CONNECTIONS, thread_name_prefix="objects")

    async def put(self, key: str, data: bytes | AsyncIterable[bytes]) -> Stored:
        """See port.Objects."""
        if await self.size(key) is not None:
            return await self._there(key)
        upload = _Upload(self._requests, key)
        pending: asyncio.Future[None] | None = None
        try:
            async for part in parts(data):
                pending = self._run(upload.add, part)
                await asyncio.shield(pending)
            return upload.stored
        except Taken:
            return await self._there(key)
        finally:
            if upload.unfinished or (pending and not pending.done()):
                await asyncio.shield(self._settle(upload, pending))

    async def get(self, key: str, offset: int = 0, length: int = -1) -> AsyncIterator[bytes]:
        """See port.Objects."""
        check_key(key)
        if length == 0:
            await self._known(key)
            return
        body = _Body(self._requests, key, offset, length)
        try:
            while block := await self._run(body.read):
                yield block
        finally:
            self._threads.submit(body.close)

    async def read(self, key: str) -> bytes:
        """See port.Objects."""
        return b"".join([block async for block in self.get(key)])

    async def size(self, key: str) -> int | None:
        """See port.Objects."""
        check_key(key)
        found = await self._run(self._requests.stat, key)
        return found[0] if found else None

    async def digest(self, key: str) -> Stored:
        """See port.Objects."""
        sha256, size = hashlib.sha256(), 0
        async for block in self.get(key):
            sha256.update(block)
            size += len(block)
        return Stored(key, size, sha256.hexdigest())

    async def list(self, prefix: str) -> AsyncIterator[str]:
        """See port.Objects."""
        if prefix:
            check_key(prefix.removesuffix("/"))
        found = self._requests.keys(prefix)
        keys: list[str] = []
        while page := await self._run(lambda: [*itertools.islice(found, _PAGE)]):
            keys += page
        for key in sorted(keys):  # some servers go folder by folder, which is another order
            if "~" not in key:
                yield key

    async def delete(self, key: str) -> None:
        """See port.Objects."""
        check_key(key)
        await self._run(self._requests.remove, key)

    async def grant(self, key: str, mode: Literal["read", "write"], ttl: float = 3600) -> str:
        """See port.Objects. A write with a granted URL replaces what is there."""
        check_key(key)
        return self._requests.presign("GET" if mode == "read" else "PUT", key, _seconds(ttl))

    async def grant_parts(self, key: str, size: int, upload: str = "", ttl: float = 3600) -> Parts | None:
        """See port.Objects. What is completed replaces what is there."""
        check_key(key)
        if size <= self._part_bytes:
            return None
        part = max(self._part_bytes, math.ceil(size / MAX_PARTS))
        if part > MAX_PART_BYTES:
            raise InvalidArgument(f"{key!r} is larger than S3 takes. Store less.")
        return await self._run(self._grant_parts, key, upload, math.ceil(size / part), part, _seconds(ttl))

    def _grant_parts(self, key: str, upload: str, number: int, part: int, seconds: int) -> Parts:
        own = {"uploadId": upload or self._requests.begin(key)}
        sign = self._requests.presign
        urls = tuple(sign("PUT", key, seconds, {"partNumber": str(n), **own}) for n in range(1, number + 1))
        complete, abort = (sign(method, key, seconds, own) for method in ("POST", "DELETE"))
        return Parts(own["uploadId"], part, urls, complete, abort)

    async def check(self) -> float:
        """See port.Objects."""
        return await self._run(self._check)

    def _check(self) -> float:
        ahead = self._requests.ahead()
        key = _CHECK + secrets.token_hex(8)
        try:
            self._requests.write(key, b"")
            with contextlib.suppress(Taken):
                self._requests.write(key, b"")
                self._requests.conditional = False  # it took the same name twice: it does not know If-None-Match
        finally:
            self._requests.remove(key)
        return ahead

    async def _known(self, key: str) -> int:
        size = await self.size(key)
        if size is None:
            raise NotFound(f"There is no object {key!r}. It may have been deleted: read again what names it.")
        return size

    async def _there(self, key: str) -> Stored:
        """Return what another writer stored; its hash was kept with it if it came in one piece."""
        found = await self._run(self._requests.stat, key)
        return Stored(key, *found) if found and found[1] else await self.digest(key)

    def _run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> asyncio.Future[T]:
        return asyncio.get_running_loop().run_in_executor(self._threads, lambda: work(*args, **kwargs))

    async def _settle(self, upload: _Upload, pending: asyncio.Future[None] | None) -> None:
        """Remove the parts of an upload that came to nothing, once nothing more is being written."""
        if pending is not None:
            await asyncio.wait([pending])
            pending.exception()
        await self._run(upload.discard)


def _seconds(ttl: float) -> int:
    return min(max(math.ceil(ttl), 1), MAX_TTL)


class _Upload:
    """One object on its way; a small one goes in one request."""

    def __init__(self, requests: S3Requests, key: str) -> None:
        self._requests = requests
        self._key = key
        self._id = ""
        self._tags: list[str] = []
        self._sha256 = hashlib.sha256()
        self._size = 0

    @property
    def stored(self) -> Stored:
        """What was written."""
        return Stored(self._key, self._size, self._sha256.hexdigest())

    @property
    def unfinished(self) -> bool:
        """Whether parts lie there that make no object."""
        return bool(self._id)

    def add(self, part: Part) -> None:
        """Write a part; after the last one the object is there."""
        self._sha256.update(part.data)
        self._size += len(part.data)
        if part.last and part.number == 1:
            self._requests.write(self._key, part.data)
            return
        if part.number > MAX_PARTS:
            raise Unavailable(f"{self._key!r} is larger than S3 takes. Store less.")
        self._id = self._id or self._requests.begin(self._key)
        self._tags.append(self._requests.write_part(self._key, self._id, part.number, part.data))
        if part.last:
            self._requests.complete(self._key, self._id, self._tags)
            self._id = ""

    def discard(self) -> None:
        """Remove the parts of an object that was not completed."""
        if self._id:
            with contextlib.suppress(Unavailable):  # the bucket's own rule for unfinished uploads removes them
                self._requests.abort(self._key, self._id)


class _Body:
    """The bytes of an object as they come; where the connection breaks, it goes on from there, twice at most."""

    def __init__(self, requests: S3Requests, key: str, offset: int, length: int) -> None:
        self._requests = requests
        self._key = key
        self._next = offset
        self._left = length if length > 0 else 0
        self._all = length < 0
        self._response: urllib3.BaseHTTPResponse | None = None
        self._repeats = 2
        self._lock = threading.Lock()
        self._over = False

    def read(self) -> bytes:
        """Return the next block, or nothing at the end."""
        with self._lock:
            while not self._over:
                try:
                    return self._read()
                except (urllib3.exceptions.HTTPError, OSError) as error:
                    self._close()
                    self._repeats -= 1
                    if self._repeats < 0:
                        raise Unavailable(
                            f"The connection broke in the middle of {self._key!r} ({type(error).__name__}). Repeat."
                        ) from None
            return b""

    def close(self) -> None:
        """Give the connection back, or break it off if bytes are still to come."""
        with self._lock:
            self._over = True
            self._close()

    def _read(self) -> bytes:
        if not self._all and not self._left:
            return b""
        if self._response is None:
            self._response = self._requests.open(self._key, self._next, self._left)
            if self._response is None:
                return b""
        block = self._response.read(BLOCK)
        self._next += len(block)
        self._left -= 0 if self._all else len(block)
        return block

    def _close(self) -> None:
        if self._response is not None:
            self._response.close()
            self._response.release_conn()
            self._response = None
