"""Uploads whose store fails at what is kept beside them: the upload itself ends as it would have."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterable, AsyncIterator
from pathlib import Path

import pytest

from services.common.errors import Exhausted, InvalidArgument, Unavailable
from services.common.objects.folder import FolderObjects
from services.common.objects.port import Stored
from services.common.objects.unfinished import Announced, Unfinished
from tests.fakes.clock import FakeClock

DATA = bytes(range(250)) * 10
UPLOAD = Announced(hashlib.sha256(DATA).hexdigest(), len(DATA))


class Faulty(FolderObjects):
    """A folder that fails at what is kept of unfinished uploads."""

    kept = 0
    full_after: int | None = None
    hangs: asyncio.Event | None = None
    deletes = True

    async def put(self, key: str, data: bytes | AsyncIterable[bytes]) -> Stored:
        """See port.Objects."""
        if key.startswith("unfinished/"):
            if self.kept == self.full_after:
                raise Exhausted("The disk is full. Free space.", reason="DISK_FULL")
            self.kept += 1
            if self.hangs:
                self.hangs.set()
                self.hangs = None
                await asyncio.Event().wait()
        return await super().put(key, data)

    async def delete(self, key: str) -> None:
        """See port.Objects."""
        if not self.deletes:
            raise Unavailable("The store does not answer. Wait.")
        await super().delete(key)


async def stream(data: bytes = DATA) -> AsyncIterator[bytes]:
    """Yield bytes as they come from a network."""
    for start in range(0, len(data), 500):
        yield data[start : start + 500]
        await asyncio.sleep(0)


async def taken(objects: Faulty, data: bytes = DATA, wrong: bool = False) -> bytes:
    """Take an upload in."""
    unfinished = Unfinished(objects, "tests", FakeClock(), part_bytes=1_000)
    async with unfinished.receiving(UPLOAD, stream(data)) as every:
        whole = b"".join([block async for block in every])
        if wrong:
            raise InvalidArgument("The bytes are others than announced. Send them again.", reason="HASH_MISMATCH")
        return whole


async def left(objects: Faulty) -> int:
    """How many objects there are."""
    return len([key async for key in objects.list("")])


async def test_an_upload_for_which_there_is_room_once_is_taken(tmp_path: Path) -> None:
    """The disk has not room for what is kept beside it, too: that is let go of."""
    objects = Faulty(tmp_path)
    objects.full_after = 1
    whole = await taken(objects)

    assert whole == DATA
    assert objects.kept == 1
    assert await left(objects) == 0


async def test_a_store_that_goes_away_at_the_end_fails_no_upload_that_is_in(tmp_path: Path) -> None:
    """What was kept stays until it is swept; a refusal is told as what it is."""
    objects = Faulty(tmp_path)
    objects.deletes = False
    whole = await taken(objects)
    with pytest.raises(InvalidArgument) as refused:
        await taken(objects, wrong=True)

    assert whole == DATA
    assert refused.value.reason == "HASH_MISMATCH"
    assert await left(objects) > 0


async def test_a_call_that_is_cancelled_while_a_part_is_put_away_keeps_that_part(tmp_path: Path) -> None:
    """Every byte that came is there, whenever the call was broken off."""
    objects = Faulty(tmp_path)
    objects.hangs = begun = asyncio.Event()
    call = asyncio.ensure_future(taken(objects))
    await begun.wait()
    call.cancel()
    await asyncio.wait([call])

    assert call.cancelled()
    assert await Unfinished(objects, "tests", FakeClock()).have(UPLOAD) == 1_000


async def test_more_bytes_than_announced_are_not_kept(tmp_path: Path) -> None:
    """Room was made for so many as were announced."""
    objects = Faulty(tmp_path)
    await taken(objects, DATA + bytes(20_000))

    assert objects.kept == len(DATA) // 1_000
