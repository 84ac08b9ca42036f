"""Uploads: bytes into the object store, then a file whose extraction is queued."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass

from services.common.documents.port import Document
from services.common.errors import AlreadyExists, InvalidArgument, NotFound
from services.common.objects.port import Objects, Stored
from services.common.objects.unfinished import Announced, Unfinished
from services.common.resources import Resources
from services.common.work import ended
from services.ingest.core.filenames import SNIFF_BYTES, check_filename, name_problem, sniff
from services.ingest.core.members import MAX_PATH, shown
from services.ingest.projects import Projects
from services.ingest.store import content_key, file_name, new_file, requeue, upload_folder

_SHA256 = re.compile(r"[0-9a-f]{64}")
_PURGE_SECONDS = 10.0
_PURGE_STEP = 0.05


@dataclass(frozen=True)
class Header:
    """What an upload is going to be.

    Args:
        parent: projects/{project}
        filename: without folders.
        sha256: of all bytes, or "".
        size_bytes: of all bytes, or 0 if not announced.
        path: where it lay in the folder or archive that it comes from, or "".
        offset: bytes that are not sent, since they have come before.
    """

    parent: str
    filename: str
    sha256: str = ""
    size_bytes: int = 0
    path: str = ""
    offset: int = 0

    @property
    def upload(self) -> Announced:
        """It as an upload that may break off."""
        return Announced(self.sha256, self.size_bytes, self.offset, self.parent.rpartition("/")[2])


class Received:
    """Bytes that pass by: counted, hashed, checked at their end. Raising there leaves nothing in the store."""

    def __init__(self, header: Header, limit: int) -> None:
        self._header = header
        self._limit = limit
        self._digest = hashlib.sha256()
        self.size = 0
        self.head = b""

    async def passed(self, data: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Yield the bytes as they come.

        Raises:
            InvalidArgument: EMPTY_FILE, FILE_TOO_LARGE or HASH_MISMATCH.
        """
        async for block in data:
            self.size += len(block)
            if self.size > self._limit:
                raise too_large(self._header.filename, self._limit)
            if len(self.head) < SNIFF_BYTES:
                self.head += block[: SNIFF_BYTES - len(self.head)]
            self._digest.update(block)
            yield block
        self._check()

    def _check(self) -> None:
        header = self._header
        if not self.size:
            raise InvalidArgument(f"{header.filename!r} is empty. Send one with text in it.", reason="EMPTY_FILE")
        if header.size_bytes and self.size != header.size_bytes:
            raise InvalidArgument(
                f"{self.size:,} bytes of {header.filename!r} came, not {header.size_bytes:,} as announced. Repeat it.",
                reason="HASH_MISMATCH",
            )
        if header.sha256 and self._digest.hexdigest() != header.sha256:
            raise InvalidArgument(
                f"The bytes of {header.filename!r} do not hash to the announced SHA-256. Upload it again.",
                reason="HASH_MISMATCH",
            )


class Uploads:
    """Takes in documents.

    Args:
        unfinished: uploads that broke off.
        limit: largest upload in bytes.
    """

    def __init__(
        self, files: Resources, projects: Projects, objects: Objects, unfinished: Unfinished, limit: int
    ) -> None:
        self._files = files
        self._projects = projects
        self._objects = objects
        self.unfinished = unfinished
        self._limit = limit

    async def upload(self, header: Header, data: AsyncIterator[bytes], creator: str) -> Document:
        """Store a document and queue its extraction; the same bytes under the same name give the file that is there.

        A file whose extraction was cancelled, or ran into a limit, is queued again.

        Raises:
            NotFound: the project does not exist.
            InvalidArgument: BAD_FILE_NAME, UNSUPPORTED_FILE_TYPE, FILE_TOO_LARGE, EMPTY_FILE or HASH_MISMATCH.
            NotReady: fewer bytes than the header's offset are here (UPLOAD_OFFSET).
            Exhausted: DISK_FULL.
        """
        check_filename(header.filename)
        await self.check(header)
        if header.offset and header.offset == header.size_bytes and await self._has(header):
            return await self._again(_name(header))
        async with self.unfinished.receiving(header.upload, data) as every:
            return await self._take(header, every, creator)

    async def received(self, header: Header) -> int:
        """Return how many bytes of a document or archive need not be sent.

        Raises:
            NotFound: the project does not exist.
            InvalidArgument: as for upload, and without length or SHA-256.
        """
        await self.check(header)
        header.upload.check()
        return header.size_bytes if await self._has(header) else await self.unfinished.have(header.upload)

    async def _has(self, header: Header) -> bool:
        """Whether the file is there that a header leads to."""
        found = await self._files.collection.get(_name(header))
        return found is not None and found["delete_time"] is None

    async def _take(self, header: Header, data: AsyncIterator[bytes], creator: str) -> Document:
        counted = Received(header, self._limit)
        folder = upload_folder(header.parent, self._files.clock.now())
        stored = await self._objects.put(content_key(folder), counted.passed(data))
        kept = False
        try:
            name = file_name(header.parent, stored.sha256, header.filename)
            fields = new_file(
                header.parent,
                header.filename,
                sniff(counted.head, header.filename),
                folder,
                stored,
                self._files.clock.now(),
                shown(header.path),
            )
            doc = await self._file(name, fields, creator)
            kept = doc["folder"] == folder
            await self._still_wanted(header.parent, doc)
            return doc
        finally:
            if not kept:
                await asyncio.shield(self._remove(stored))

    async def _remove(self, stored: Stored) -> None:
        await self._objects.delete(stored.key)

    async def check(self, header: Header) -> None:
        """Refuse a header that no upload can have. Raises as upload does, for all but the type."""
        problem = name_problem(header.filename)
        if problem:
            raise problem
        if header.size_bytes < 0:
            raise InvalidArgument("size_bytes is below 0. Use 0 when it is not known.", field="header.size_bytes")
        if header.size_bytes > self._limit:
            raise too_large(header.filename, self._limit)
        if header.sha256 and not _SHA256.fullmatch(header.sha256):
            raise InvalidArgument(
                "sha256 is not 64 lower-case hexadecimal digits. Leave it out, or send the right one.",
                field="header.sha256",
            )
        if len(header.path) > 2 * MAX_PATH:
            raise InvalidArgument(f"path has more than {2 * MAX_PATH:,} characters. Leave it out.", field="header.path")
        await self._projects.get(header.parent, "header.parent")

    async def _file(self, name: str, fields: Document, creator: str) -> Document:
        """Return the file of that name: the one that is there, or a new one."""
        for _ in range(round(_PURGE_SECONDS / _PURGE_STEP)):
            try:
                return await self._again(name)
            except NotFound:
                pass
            try:
                return await self._files.create(name, fields, creator=creator)
            except AlreadyExists:
                # It was deleted just now, or another upload of the same bytes was faster.
                await asyncio.sleep(_PURGE_STEP)
        raise AlreadyExists(f"file {name} is being deleted. Wait a moment, then upload it again.")

    async def _again(self, name: str) -> Document:
        def queue_again(doc: Document) -> None:
            work = doc["work"]
            limited = work["state"] == "FAILED" and work["error"]["reason"] == "EXTRACTION_LIMIT"
            if doc["text"] is None and ended(work) and (limited or work["state"] == "CANCELLED"):
                requeue(doc, self._files.clock.now())

        return await self._files.change(name, queue_again)

    async def _still_wanted(self, parent: str, doc: Document) -> None:
        """Delete the file again if its project was deleted meanwhile."""
        try:
            await self._projects.get(parent, "header.parent")
        except NotFound:
            await self._files.delete(doc["_id"], event="file.deleted")
            raise


def _name(header: Header) -> str:
    return file_name(header.parent, header.sha256, header.filename)


def too_large(filename: str, limit: int) -> InvalidArgument:
    """Return the error for an upload over the limit in bytes."""
    size = f"{limit / 1e6:,.0f} MB" if limit >= 1_000_000 else f"{limit:,} bytes"
    return InvalidArgument(
        f"{filename!r} is larger than {size}, the limit. Split it.",
        reason="FILE_TOO_LARGE",
        metadata={"limit_bytes": str(limit)},
    )
