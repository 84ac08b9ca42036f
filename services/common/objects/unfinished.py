"""Uploads that may break off: what has come is kept beside, so that the next try sends the rest alone.

Bytes are kept as objects of about 8 MiB below `unfinished/`, under what the sender announced: SHA-256 and length. An
upload that breaks off leaves all that came; a killed process loses the last 8 MiB at most. Any replica goes on with
them. A sender whose link broke may ask before this end has noticed: what such a call has brought is kept then. Whether
they are the announced ones is known at the end: the caller checks the hash of the whole, and if it is wrong they are
dropped, so that a repeat begins anew.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from services.common import ids
from services.common.clock import Clock
from services.common.errors import Exhausted, FineTuneFlowError, InvalidArgument, NotFound, NotReady, Unavailable
from services.common.objects.port import Objects

log = logging.getLogger(__name__)

PART_BYTES = 8 << 20
KEEP_SECONDS = 86_400.0
MOST_BYTES = 4 << 30
_ROOT = "unfinished"
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Announced:
    """What a sender says before the bytes.

    Args:
        sha256: of all bytes, or "": nothing is kept then.
        size: of all bytes, or 0: likewise.
        offset: bytes that are not sent, since they have come before.
        owner: one segment of a key, such as a project's id; what is kept is found by the same owner only.
    """

    sha256: str
    size: int
    offset: int = 0
    owner: str = "all"

    def check(self) -> None:
        """Raises InvalidArgument if nothing can be found by it, or if the offset is out of range."""
        if not _SHA256.fullmatch(self.sha256) or self.size < 1:
            raise InvalidArgument("An upload goes on by its length and SHA-256. Send both.", field="header.sha256")
        if not 0 <= self.offset <= self.size:
            raise InvalidArgument(f"offset is {self.offset:,}. Use 0 to {self.size:,}.", field="header.offset")


@dataclass(frozen=True)
class _Part:
    """Some bytes of an upload.

    Args:
        key: the object with them.
        start: the first one's place in the upload.
        length: how many.
        time: when they came.
    """

    key: str
    start: int
    length: int
    time: float


class Unfinished:
    """One service's unfinished uploads, for any number of its replicas.

    Args:
        service: its name.
        most_bytes: kept of all uploads together; beyond it the ones that have waited longest are dropped. Looked at
            when an upload has its first part kept, so that several at once may pass it by their own lengths.
        keep_seconds: for which an upload is kept after its last part came.
        part_bytes: of one object.
    """

    def __init__(
        self,
        objects: Objects,
        service: str,
        clock: Clock,
        *,
        most_bytes: int = MOST_BYTES,
        keep_seconds: float = KEEP_SECONDS,
        part_bytes: int = PART_BYTES,
    ) -> None:
        self._objects = objects
        self._root = f"{_ROOT}/{service}/"
        self._clock = clock
        self._most_bytes = most_bytes
        self._keep_seconds = keep_seconds
        self.part_bytes = part_bytes
        self.under_way: dict[str, list[_Coming]] = {}

    async def have(self, upload: Announced) -> int:
        """Return how many bytes of an upload, from the first on, need not be sent again.

        What a call in this process has brought so far counts, ended or not: it is kept first.

        Raises:
            InvalidArgument: the upload has no length or SHA-256.
        """
        upload.check()
        for coming in list(self.under_way.get(self.folder(upload), [])):
            await coming.keep()
        return sum(part.length for part in await self._chain(upload))

    @asynccontextmanager
    async def receiving(self, upload: Announced, data: AsyncIterator[bytes]) -> AsyncIterator[AsyncIterator[bytes]]:
        """Give all bytes of an upload, to be stored for good in the block: those kept before, then those that come.

        What comes is kept on the way; after the block it is dropped, or stays if the upload broke off. An upload that
        is not longer than a part is kept only when it breaks off or `have` asks; where a store has no room for both,
        the upload goes on and nothing is kept.

        Raises:
            InvalidArgument: the offset is out of range.
            NotReady: fewer bytes than the offset are there (UPLOAD_OFFSET); metadata "received" says how many.
        """
        if not upload.offset and not (upload.size and upload.sha256):
            yield data
            return
        upload.check()
        coming = _Coming(self, upload, await self._before(upload), data)
        try:
            yield coming.all()
        except BaseException as error:
            # Refused: it is not what it was to be, or has no place. The same bytes again would end the same way.
            refused = isinstance(error, FineTuneFlowError) and not isinstance(error, Unavailable)
            await asyncio.shield(_tried(coming.end(kept=not refused)))
            raise
        await asyncio.shield(_tried(coming.end(kept=False)))

    async def sweep(self) -> None:
        """Drop the uploads that nobody went on with. Repeating it does nothing."""
        before = self._clock.now() - self._keep_seconds
        for parts in (await self._uploads()).values():
            if max(part.time for part in parts) < before:
                await self._delete(parts)

    async def forget(self, owner: str) -> None:
        """Drop all uploads of an owner. Repeating it does nothing."""
        for key in [key async for key in self._objects.list(f"{self._root}{owner}/")]:
            await self._objects.delete(key)

    async def add(self, upload: Announced, start: int, data: bytes) -> None:
        """Keep some bytes; they are durable when this returns."""
        key = f"{self.folder(upload)}{start:015d}-{len(data)}-{ids.sortable(self._clock.now())}"
        await self._objects.put(key, data)

    async def drop(self, upload: Announced) -> None:
        """Keep nothing of an upload. Repeating it does nothing."""
        await self._delete([_part(key) async for key in self._objects.list(self.folder(upload))])

    async def make_room(self, upload: Announced) -> bool:
        """Drop what has waited longest until an upload has room; return whether it then has."""
        if upload.size > self._most_bytes:
            return False
        uploads = await self._uploads()
        uploads.pop(self.folder(upload), None)
        kept = {folder: sum(part.length for part in parts) for folder, parts in uploads.items()}
        for folder in sorted(uploads, key=lambda folder: max(part.time for part in uploads[folder])):
            if sum(kept.values()) + upload.size <= self._most_bytes:
                break
            await self._delete(uploads[folder])
            del kept[folder]
        return True

    async def read(self, part: _Part, length: int) -> AsyncIterator[bytes]:
        """Yield the first bytes of a part. Raises Unavailable if it was dropped meanwhile."""
        try:
            async for block in self._objects.get(part.key, 0, length):
                yield block
        except NotFound:
            raise Unavailable("What was kept of this upload is gone, or has been completed. Repeat it.") from None

    def folder(self, upload: Announced) -> str:
        """Return what the keys of an upload's parts begin with."""
        return f"{self._root}{upload.owner}/{upload.sha256}-{upload.size}/"

    async def _before(self, upload: Announced) -> list[_Part]:
        if not upload.offset:
            return []
        chain = await self._chain(upload)
        received = sum(part.length for part in chain)
        if received < upload.offset:
            raise NotReady(
                f"{received:,} bytes of this upload are here, not {upload.offset:,}. Ask by GetUpload; send the rest.",
                reason="UPLOAD_OFFSET",
                metadata={"received": str(received)},
                field="header.offset",
            )
        return chain

    async def _chain(self, upload: Announced) -> list[_Part]:
        """Return parts that follow each other without a gap, from the first byte on."""
        parts = [_part(key) async for key in self._objects.list(self.folder(upload))]
        chain: list[_Part] = []
        end = 0
        while found := [part for part in parts if part.start == end and part.length]:
            chain.append(max(found, key=lambda part: part.length))
            end += chain[-1].length
        return chain if end <= upload.size else []

    async def _uploads(self) -> dict[str, list[_Part]]:
        uploads: dict[str, list[_Part]] = {}
        async for key in self._objects.list(self._root):
            uploads.setdefault(key.rpartition("/")[0] + "/", []).append(_part(key))
        return uploads

    async def _delete(self, parts: list[_Part]) -> None:
        # The last ones first: what a killed process leaves begins with the first byte.
        for part in sorted(parts, key=lambda part: part.start, reverse=True):
            await self._objects.delete(part.key)


class _Coming:
    """One upload on its way."""

    def __init__(
        self, unfinished: Unfinished, upload: Announced, before: list[_Part], data: AsyncIterator[bytes]
    ) -> None:
        self._unfinished = unfinished
        self._upload = upload
        self._before = before
        self._data = data
        self._buffer = bytearray()
        self._room: bool | None = None
        self._keeping = asyncio.Lock()
        self.received = upload.offset
        unfinished.under_way.setdefault(unfinished.folder(upload), []).append(self)

    async def all(self) -> AsyncIterator[bytes]:
        """Yield every byte in order."""
        for part in self._before:
            if wanted := min(part.length, self._upload.offset - part.start):
                async for block in self._unfinished.read(part, wanted):
                    yield block
        async for block in self._data:
            self.received += len(block)
            self._buffer += block
            if len(self._buffer) >= self._unfinished.part_bytes:
                await self.keep()
            yield block

    async def keep(self) -> None:
        """Keep what is not kept yet, if there is room for this upload; a call that is broken off may be repeated."""
        async with self._keeping:
            await self._keep()

    async def end(self, kept: bool) -> None:
        """Keep what came, or drop all that is kept of this upload; nothing more comes."""
        try:
            async with self._keeping:
                await (self._keep() if kept else self._unfinished.drop(self._upload))
                self._room = False
        finally:
            folder = self._unfinished.folder(self._upload)
            self._unfinished.under_way[folder].remove(self)
            if not self._unfinished.under_way[folder]:
                del self._unfinished.under_way[folder]

    async def _keep(self) -> None:
        data, start = bytes(self._buffer), self.received - len(self._buffer)
        if data and self._room is None:
            self._room = await self._unfinished.make_room(self._upload)
        if data and self._room and start + len(data) <= self._upload.size:
            try:
                await self._unfinished.add(self._upload, start, data)
            except Exhausted as error:
                log.warning("an upload that breaks off now begins anew, for what came is not kept: %s", error)
                self._room = False
                await self._unfinished.drop(self._upload)
        del self._buffer[: len(data)]


async def _tried(work: Awaitable[None]) -> None:
    """Do what changes nothing for the call that it follows; what is left behind then is swept."""
    try:
        await work
    except FineTuneFlowError as error:
        log.warning("what is kept of an upload is not in order: %s", error)


def _part(key: str) -> _Part:
    start, length, time = key.rpartition("/")[2].split("-")
    return _Part(key, int(start), int(length), int(time[:13], 16) / 1000)
