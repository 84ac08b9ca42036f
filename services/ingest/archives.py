"""Archives: one upload that becomes a file for each document in it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Coroutine, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from services.common.confined.limits import Limits
from services.common.documents.port import Document
from services.common.errors import InvalidArgument
from services.common.objects.port import BLOCK
from services.ingest.core.members import last_part
from services.ingest.ports import Worker
from services.ingest.sandbox.job import Job
from services.ingest.uploads import Header, Received, Uploads
from services.ingest.workroom import Workroom

MOST_AT_ONCE = 2


@dataclass(frozen=True)
class Entry:
    """What became of one member of an archive.

    Args:
        path: inside the archive.
        size: unpacked, in bytes.
        file: name of the file that it became, or "".
        reason: why it became none, or "".
        message: the same for people, with the remedy.
    """

    path: str
    size: int
    file: str
    reason: str
    message: str


@dataclass(frozen=True)
class Unpacked:
    """What an archive gave.

    Args:
        files: each once, also if several members have the same bytes and file name.
        entries: every member, in the archive's order.
    """

    files: Sequence[Document]
    entries: Sequence[Entry]


class Archives:
    """Takes in archives. Not more than two are unpacked at once; others wait.

    Args:
        limit: largest archive, and largest member, in bytes.
    """

    def __init__(self, uploads: Uploads, worker: Worker, room: Workroom, limits: Limits, limit: int) -> None:
        self._uploads = uploads
        self._worker = worker
        self._room = room
        self._limits = limits
        self._limit = limit
        self._turns = asyncio.Semaphore(MOST_AT_ONCE)

    async def upload(self, header: Header, data: AsyncIterator[bytes], creator: str) -> Unpacked:
        """Unpack an archive in the sandbox and make a file of each document in it.

        No file is made before the whole archive has come and has been unpacked. Should the service end while files are
        being made, those made stay; repeating the call returns them and makes the others.

        Raises:
            NotFound: the project does not exist.
            InvalidArgument: BAD_FILE_NAME, UNSUPPORTED_FILE_TYPE, FILE_TOO_LARGE, EMPTY_FILE or HASH_MISMATCH of the
                archive itself; CORRUPT_DOCUMENT if it is none.
            NotReady: fewer bytes than the header's offset are here (UPLOAD_OFFSET).
            Exhausted: EXTRACTION_LIMIT: it would unpack to too much; DISK_FULL.
        """
        _check(header)
        await self._uploads.check(header)
        async with self._uploads.unfinished.receiving(header.upload, data) as every:
            return await self._unpack(header, every, creator)

    async def _unpack(self, header: Header, data: AsyncIterator[bytes], creator: str) -> Unpacked:
        async with self._room.folder() as folder:
            source, target = folder / "archive", folder / "members"
            received = Received(header, self._limit)
            with source.open("wb") as file:
                async for block in received.passed(data):
                    await asyncio.to_thread(file.write, block)
            job = Job("unpack", str(source), str(target), self._limits, header.filename, most_bytes=self._limit)
            # A turn is taken only when all is here: a sender who is slow holds up nobody.
            async with self._turns:
                await self._worker.run(job, _untold)
                return await _to_its_end(self._make(header, target, creator))

    async def _make(self, header: Header, target: Path, creator: str) -> Unpacked:
        files: dict[str, Document] = {}
        entries: list[Entry] = []
        for number, line in enumerate(target.read_text(encoding="utf-8").splitlines()):
            member = json.loads(line)
            if not member["reason"]:
                member.update(await self._file(header, member, Path(f"{target}.{number}"), creator, files))
            entries.append(
                Entry(member["path"], member["size"], member.get("file", ""), member["reason"], member["message"])
            )
        return Unpacked(list(files.values()), entries)

    async def _file(
        self, header: Header, member: dict[str, Any], path: Path, creator: str, files: dict[str, Document]
    ) -> dict[str, str]:
        """Make a file of a member; a refusal of this one alone is part of the report."""
        one = replace(
            header,
            filename=last_part(member["path"]),
            sha256=member["sha256"],
            size_bytes=member["size"],
            path=f"{header.filename}/{member['path']}",
            offset=0,
        )
        try:
            doc = await self._uploads.upload(one, _blocks(path), creator)
        except InvalidArgument as error:
            return {"reason": error.reason, "message": str(error)}
        finally:
            path.unlink(missing_ok=True)
        files[doc["_id"]] = doc
        return {"file": doc["_id"]}


async def _to_its_end(making: Coroutine[Any, Any, Unpacked]) -> Unpacked:
    """Make the files, to the last one even if the caller has gone: they are read from a folder that goes afterwards."""
    task = asyncio.ensure_future(making)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


def _check(header: Header) -> None:
    if not header.filename.lower().endswith(".zip"):
        raise InvalidArgument(
            f"{header.filename[:100]!r} is no archive that can be unpacked. Send a .zip file.",
            reason="UNSUPPORTED_FILE_TYPE",
            field="header.filename",
        )


async def _untold(phase: str, done: int, total: int, unit: str) -> None:
    """Take in progress that nobody waits for."""


async def _blocks(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        while block := await asyncio.to_thread(file.read, BLOCK):
            yield block
