"""What is kept of uploads that break off, on every object store."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import random
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from services.common.errors import Exhausted, InvalidArgument, NotReady, Unavailable
from services.common.objects.port import Objects
from services.common.objects.unfinished import Announced, Unfinished
from tests.fakes.clock import FakeClock

PART = 1_000
DATA = random.Random(1).randbytes(3_700)


def announced(data: bytes = DATA, offset: int = 0, owner: str = "p") -> Announced:
    """What a sender says of some bytes."""
    return Announced(hashlib.sha256(data).hexdigest(), len(data), offset, owner)


def kept(objects: Objects, clock: FakeClock | None = None, most: int = 1 << 20) -> Unfinished:
    """Unfinished uploads whose parts are small."""
    return Unfinished(objects, "tests", clock or FakeClock(), most_bytes=most, keep_seconds=100, part_bytes=PART)


async def stream(data: bytes, breaks: BaseException | None = None) -> AsyncIterator[bytes]:
    """Yield bytes as they come from a network, and break off at their end."""
    for start in range(0, len(data), 300):
        yield data[start : start + 300]
    if breaks:
        raise breaks


async def hanging(came: asyncio.Event) -> AsyncIterator[bytes]:
    """Yield 1,700 bytes, say so, and then nothing."""
    yield DATA[:1_700]
    came.set()
    await asyncio.Event().wait()


async def keys(objects: Objects) -> list[str]:
    """All keys."""
    return [key async for key in objects.list("")]


async def taken(unfinished: Unfinished, upload: Announced, data: AsyncIterator[bytes]) -> bytes:
    """Take an upload in, checking its hash as services do."""
    async with unfinished.receiving(upload, data) as every:
        whole = b"".join([block async for block in every])
        if hashlib.sha256(whole).hexdigest() != upload.sha256:
            raise InvalidArgument("The bytes are others than announced. Send them again.", reason="HASH_MISMATCH")
        return whole


async def broken(
    unfinished: Unfinished, sent: bytes, upload: Announced | None = None, breaks: BaseException | None = None
) -> None:
    """Send some bytes of an upload and break off."""
    with contextlib.suppress(ConnectionError, Exhausted, Unavailable):
        await taken(unfinished, upload or announced(), stream(sent, breaks or ConnectionError()))


async def test_what_came_before_it_broke_off_is_not_sent_again(objects: Objects) -> None:
    """Every byte that came, over any number of tries, in another process too; when all is there, nothing is left."""
    first = kept(objects)
    await broken(first, DATA[:2_500])
    had = await first.have(announced())
    second = kept(objects)
    await broken(second, DATA[had:3_100], announced(offset=had))
    then = await second.have(announced())
    whole = await taken(second, announced(offset=then), stream(DATA[then:]))

    assert (had, then) == (2_500, 3_100)
    assert whole == DATA
    assert await keys(objects) == []


async def test_a_killed_process_loses_less_than_a_part(objects: Objects) -> None:
    """What it had put away is there, and what follows is sent."""
    unfinished = kept(objects)
    async with unfinished.receiving(announced(), stream(DATA)) as every:
        blocks = 0
        async for _ in every:
            blocks += 1
            if blocks == 9:  # 2,700 bytes
                break
        had = await kept(objects).have(announced())

    assert had == 2_400


async def test_a_cancelled_call_keeps_what_came(objects: Objects) -> None:
    """A client that is killed or cut off cancels the call in mid-stream."""
    came = asyncio.Event()
    unfinished = kept(objects)
    call = asyncio.ensure_future(taken(unfinished, announced(), hanging(came)))
    await came.wait()
    call.cancel()
    await asyncio.wait([call])

    assert await unfinished.have(announced()) == 1_700


async def test_a_sender_may_ask_before_the_broken_call_is_noticed(objects: Objects) -> None:
    """A link that vanished leaves its call waiting: what it brought counts, and its end takes nothing away."""
    came = asyncio.Event()
    unfinished = kept(objects)
    call = asyncio.ensure_future(taken(unfinished, announced(), hanging(came)))
    await came.wait()
    had = await unfinished.have(announced())
    call.cancel()
    await asyncio.wait([call])
    then = await unfinished.have(announced())
    whole = await taken(unfinished, announced(offset=had), stream(DATA[had:]))

    assert (had, then) == (1_700, 1_700)
    assert whole == DATA
    assert await keys(objects) == []


async def test_bytes_that_are_not_the_announced_ones_are_dropped(objects: Objects) -> None:
    """Nobody is made to go on with somebody else's rubbish: after the refusal the upload begins anew."""
    unfinished = kept(objects)
    await broken(unfinished, b"x" * 2_000)
    had = await unfinished.have(announced())
    with pytest.raises(InvalidArgument):
        await taken(unfinished, announced(offset=had), stream(DATA[had:]))

    assert had == 2_000
    assert await unfinished.have(announced()) == 0
    assert await taken(unfinished, announced(), stream(DATA)) == DATA


async def test_an_offset_beyond_what_is_there_is_refused(objects: Objects) -> None:
    """With how much there is; of another owner or length nothing is."""
    unfinished = kept(objects)
    await broken(unfinished, DATA[:1_500])
    with pytest.raises(NotReady) as refused:
        await taken(unfinished, announced(offset=1_501), stream(DATA[1_501:]))
    with pytest.raises(InvalidArgument):
        await taken(unfinished, announced(offset=len(DATA) + 1), stream(b""))
    with pytest.raises(InvalidArgument):
        await unfinished.have(Announced("", 5))

    assert (refused.value.reason, refused.value.metadata) == ("UPLOAD_OFFSET", {"received": "1500"})
    assert await unfinished.have(announced(owner="q")) == 0
    assert await unfinished.have(replace(announced(), size=9)) == 0


async def test_a_sender_that_announces_nothing_leaves_nothing(objects: Objects) -> None:
    """As before there was a way to go on; neither does one whose upload fails for want of room."""
    unfinished = kept(objects)
    await broken(unfinished, DATA, Announced("", 0))
    await broken(unfinished, DATA[:2_500], breaks=Exhausted("The disk is full. Free space."))

    assert await keys(objects) == []


async def test_uploads_that_nobody_goes_on_with_are_swept(objects: Objects) -> None:
    """Counted from the last part; those of a project that is deleted go at once."""
    clock = FakeClock()
    unfinished = kept(objects, clock)
    await broken(unfinished, DATA[:1_500])
    clock.turn(90)
    await broken(unfinished, DATA[1_500:2_000], announced(offset=1_500))
    await broken(unfinished, b"other", announced(b"others", owner="q"))
    clock.turn(90)
    await unfinished.sweep()
    young = [await unfinished.have(announced()), await unfinished.have(announced(b"others", owner="q"))]
    await unfinished.forget("q")
    forgotten = len(await keys(objects))
    clock.turn(20)
    await unfinished.sweep()

    assert young == [2_000, 5]
    assert forgotten == 3
    assert await keys(objects) == []


async def test_what_is_kept_is_bounded(objects: Objects) -> None:
    """The uploads that have waited longest make room; one that is larger than all the room is not kept."""
    clock = FakeClock()
    unfinished = kept(objects, clock, most=6_000)
    second, large = b"2" * 3_000, b"3" * 7_000
    await broken(unfinished, DATA[:3_000])
    clock.turn(1)
    await broken(unfinished, second[:2_900], announced(second))
    clock.turn(1)
    before = [await unfinished.have(announced(one)) for one in (DATA, second)]
    await broken(unfinished, large[:6_500], announced(large))
    third = b"4" * 3_100
    await broken(unfinished, third[:100], announced(third))

    assert before == [3_000, 2_900]
    assert [await unfinished.have(announced(one)) for one in (DATA, second, large, third)] == [0, 2_900, 0, 100]
