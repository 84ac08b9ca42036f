"""What every object store promises."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator

import pytest

from services.common.errors import InvalidArgument, NotFound
from services.common.objects.port import BLOCK, Objects, Stored


async def stream(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


async def keys(objects: Objects, prefix: str = "") -> list[str]:
    return [key async for key in objects.list(prefix)]


async def part(objects: Objects, key: str, offset: int = 0, length: int = -1) -> bytes:
    return b"".join([block async for block in objects.get(key, offset, length)])


async def test_bytes_come_back_with_their_size_and_hash(objects: Objects) -> None:
    """Given at once or piece by piece, empty or larger than a block."""
    large = bytes(range(256)) * (BLOCK // 128)

    assert await objects.put("a/b.txt", b"hello") == Stored("a/b.txt", 5, hashlib.sha256(b"hello").hexdigest())
    assert await objects.put("empty", b"") == Stored("empty", 0, hashlib.sha256(b"").hexdigest())
    assert await objects.put("x", stream(b"he", b"", b"llo")) == Stored("x", 5, hashlib.sha256(b"hello").hexdigest())
    assert (await objects.put("large", stream(large, large))).size == 2 * len(large)
    assert await objects.read("a/b.txt") == await objects.read("x") == b"hello"
    assert await objects.read("empty") == b""
    assert await objects.read("large") == large + large


async def test_an_object_of_many_blocks_is_one(objects: Objects) -> None:
    """Twenty mebibytes in uneven pieces: a store that takes large objects in parts puts them together in order."""
    content = bytes(range(251)) * (20 * BLOCK // 251)
    pieces = [content[start : start + 1_500_001] for start in range(0, len(content), 1_500_001)]
    expected = Stored("large", len(content), hashlib.sha256(content).hexdigest())

    assert await objects.put("large", stream(*pieces)) == expected
    assert await objects.put("large", stream(b"x" * 9 * BLOCK)) == expected
    assert await objects.digest("large") == expected
    assert await part(objects, "large", 8 * BLOCK - 2, 5) == content[8 * BLOCK - 2 : 8 * BLOCK + 3]
    assert await keys(objects) == ["large"]


async def test_of_two_writers_in_parts_one_wins(objects: Objects) -> None:
    """Whoever ends second learns what the first one stored, and leaves nothing of his own.

    They end one after the other: SeaweedFS looks for the key and writes it in two steps, so that of two that end in the
    same millisecond it may keep the second.
    """
    texts = [b"a" * 10 * BLOCK, b"b" * 10 * BLOCK]

    async def late() -> AsyncIterator[bytes]:
        yield texts[1][:-1]
        await first
        yield texts[1][-1:]

    first = asyncio.create_task(objects.put("a", stream(texts[0])))
    results = [await objects.put("a", late()), await first]

    assert results[0] == results[1] == await objects.digest("a")
    assert results[0].sha256 in {hashlib.sha256(text).hexdigest() for text in texts}
    assert await keys(objects) == ["a"]


async def test_nothing_is_overwritten(objects: Objects) -> None:
    """The same key again returns what is there, whatever was sent."""
    first = await objects.put("a", b"first")

    assert await objects.put("a", b"second") == first
    assert await objects.put("a", stream(b"third")) == first
    assert await objects.read("a") == b"first"


async def test_of_many_writers_of_one_key_one_wins(objects: Objects) -> None:
    """All of them learn what is there, and it is one of what they sent, whole."""
    texts = [f"{n}".encode() * 1000 for n in range(8)]

    results = await asyncio.gather(*(objects.put("a", stream(text[:500], text[500:])) for text in texts))

    content = await objects.read("a")
    assert content in texts
    assert {r.sha256 for r in results} == {hashlib.sha256(content).hexdigest()}
    assert await keys(objects) == ["a"]


async def test_any_range_can_be_read(objects: Objects) -> None:
    """Past the end there is nothing, and no error."""
    content = bytes(range(256)) * 10_000
    await objects.put("a", content)

    assert await part(objects, "a", 7) == content[7:]
    assert await part(objects, "a", 0, 0) == b""
    assert await part(objects, "a", BLOCK - 3, 9) == content[BLOCK - 3 : BLOCK + 6]
    assert await part(objects, "a", 5, BLOCK + 100) == content[5 : BLOCK + 105]
    assert await part(objects, "a", len(content) - 2, 99) == content[-2:]
    assert await part(objects, "a", len(content) + 5) == b""
    assert max([len(block) async for block in objects.get("a")]) <= BLOCK


async def test_what_is_not_there_is_not_found(objects: Objects) -> None:
    """Asking for the size is the question whether it is there."""
    with pytest.raises(NotFound):
        await objects.read("a/b")
    with pytest.raises(NotFound):
        await anext(objects.get("a/b"))
    with pytest.raises(NotFound):
        await objects.digest("a/b")
    assert await objects.size("a/b") is None


async def test_size_and_digest_tell_what_is_there(objects: Objects) -> None:
    """The digest is computed from the bytes as they are."""
    stored = await objects.put("a/b", b"x" * 3_000_000)

    assert await objects.size("a/b") == 3_000_000
    assert await objects.digest("a/b") == stored
    assert await objects.size("a") is None


async def test_delete_frees_the_key(objects: Objects) -> None:
    """Repeating it does nothing; the neighbours stay."""
    await objects.put("a/b", b"1")
    await objects.put("a/c", b"2")
    await objects.delete("a/b")
    await objects.delete("a/b")

    assert await keys(objects) == ["a/c"]
    assert await objects.put("a/b", b"3") == Stored("a/b", 1, hashlib.sha256(b"3").hexdigest())


async def test_lists_are_by_prefix_in_order(objects: Objects) -> None:
    """A prefix may end within a segment."""
    for key in ("p/ab/d", "p/a", "pq", "p/ab/c", "p/a-b", "P"):
        await objects.put(key, b"")

    assert await keys(objects) == ["P", "p/a", "p/a-b", "p/ab/c", "p/ab/d", "pq"]
    assert await keys(objects, "p/") == ["p/a", "p/a-b", "p/ab/c", "p/ab/d"]
    assert await keys(objects, "p/ab") == ["p/ab/c", "p/ab/d"]
    assert await keys(objects, "p") == ["p/a", "p/a-b", "p/ab/c", "p/ab/d", "pq"]
    assert await keys(objects, "none/at/all/") == []


async def test_lists_do_not_go_folder_by_folder(objects: Objects) -> None:
    """A dash and a dot come before a slash."""
    for key in ("a/x", "a-b/x", "a.b/x", "a0/x"):
        await objects.put(key, b"")

    assert await keys(objects) == ["a-b/x", "a.b/x", "a/x", "a0/x"]


BAD_KEYS = ["", "/etc/passwd", "../x", "a/../x", "a/./x", "a//b", "a/", ".", "a\0b", "a b", "ü", "a~b", "a\\b", "%2e/x"]
BAD_KEYS += ["x" * 256, "a/" * 600 + "a"]


@pytest.mark.parametrize("key", BAD_KEYS, ids=lambda key: repr(key)[:20])
async def test_a_bad_key_is_refused_everywhere(objects: Objects, key: str) -> None:
    """No method reaches outside the store."""
    for call in (objects.put(key, b""), objects.read(key), objects.size(key), objects.digest(key), objects.delete(key)):
        with pytest.raises(InvalidArgument):
            await call
    for mode in ("read", "write"):
        with pytest.raises(InvalidArgument):
            await objects.grant(key, mode)
    with pytest.raises(InvalidArgument):
        await objects.grant_parts(key, 1 << 40)
    with pytest.raises(InvalidArgument):
        await anext(objects.get(key))


async def test_what_one_url_takes_is_not_granted_in_parts(objects: Objects) -> None:
    """Also where the size is not known."""
    assert [await objects.grant_parts("a", size) for size in (0, 1, 1 << 30)] == [None] * 3


@pytest.mark.parametrize("size", [3_000_000, 10 * BLOCK])
async def test_a_source_that_fails_leaves_nothing(objects: Objects, size: int) -> None:
    """Its error comes through as it is, and the key is free."""

    async def failing() -> AsyncIterator[bytes]:
        yield b"x" * size
        raise ConnectionResetError("the client went away")

    with pytest.raises(ConnectionResetError, match="the client went away"):
        await objects.put("a", failing())

    assert await keys(objects) == []
    assert await objects.put("a", b"1") == Stored("a", 1, hashlib.sha256(b"1").hexdigest())


@pytest.mark.parametrize("size", [3_000_000, 10 * BLOCK])
async def test_a_cancelled_put_leaves_nothing(objects: Objects, size: int) -> None:
    """The caller hung up while the bytes were still coming."""
    begun = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        yield b"x" * size
        begun.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(objects.put("a", endless()))
    await begun.wait()
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert await keys(objects) == []


async def test_a_store_in_order_passes_its_check(objects: Objects) -> None:
    """Its clock is this machine's, and nothing is left of the check."""
    assert abs(await objects.check()) < 2
    assert await keys(objects) == []
