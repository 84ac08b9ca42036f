"""Bytes on their way into a bucket, cut into parts that grow, so that 10,000 of them hold the largest object."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator
from dataclasses import dataclass

FIRST_BYTES = 8 * 1_048_576
DOUBLE_AFTER = 1_000
MAX_PARTS = 10_000


@dataclass(frozen=True)
class Part:
    """A piece of an object.

    Args:
        number: 1, 2, 3, …
        data: its bytes; only the last part, or the only one, may be short or empty.
        last: whether the object ends with it.
    """

    number: int
    data: bytes
    last: bool


def part_bytes(number: int) -> int:
    """Return the size of a part: 8 MiB up to the 1,000th, then twice as much for the next thousand, and so on.

    One hundred gigabytes take 3,700 parts of at most 64 MiB; five tebibytes, the most that S3 takes, fit into 10,000.
    """
    return FIRST_BYTES << ((number - 1) // DOUBLE_AFTER)


async def parts(data: bytes | AsyncIterable[bytes]) -> AsyncIterator[Part]:
    """Yield the data in parts; no data is one empty part. What the data raises comes through."""
    buffer = bytearray()
    number = 1
    async for piece in _pieces(data):
        buffer += piece
        while len(buffer) > (size := part_bytes(number)):  # more than a part, so this one is not the last
            yield Part(number, bytes(buffer[:size]), last=False)
            del buffer[:size]
            number += 1
    yield Part(number, bytes(buffer), last=True)


async def _pieces(data: bytes | AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    if isinstance(data, bytes):
        for start in range(0, len(data), FIRST_BYTES):
            yield data[start : start + FIRST_BYTES]
        return
    async for piece in data:
        yield piece
