"""Objects on their way to S3: the parts they go in, and the URLs of buckets."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from services.common.objects import parts as module
from services.common.objects.parts import MAX_PARTS, part_bytes, parts
from services.common.objects.s3url import Bucket, parse

GIBI = 2**30


def test_ten_thousand_parts_hold_the_largest_object() -> None:
    """Five tebibytes, and each part is at least the 5 MiB that S3 asks for and at most the 5 GiB that it takes."""
    sizes = [part_bytes(number) for number in range(1, MAX_PARTS + 1)]

    assert sum(sizes) >= 5 * 1024 * GIBI
    assert min(sizes) >= 5 * 2**20
    assert max(sizes) <= 5 * GIBI


def test_a_hundred_gigabytes_need_no_large_parts() -> None:
    """A part is held in memory while it is sent."""
    size, number = 0, 0
    while size < 100e9:
        number += 1
        size += part_bytes(number)

    assert number < 4_000
    assert part_bytes(number) == 64 * 2**20


@pytest.mark.parametrize("length", [0, 1, 7, 8, 9, 16, 17, 30])
async def test_parts_are_full_but_for_the_last(length: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given whole or byte by byte, they are the same; what fits exactly is not followed by an empty one."""
    monkeypatch.setattr(module, "FIRST_BYTES", 8)
    data = bytes(range(length))

    async def bytewise() -> AsyncIterator[bytes]:
        for byte in data:
            yield bytes([byte])

    whole = [part async for part in parts(data)]
    pieces = [part async for part in parts(bytewise())]

    assert whole == pieces
    assert b"".join(part.data for part in whole) == data
    assert [part.number for part in whole] == list(range(1, max(1, -(-length // 8)) + 1))
    assert [part.last for part in whole] == [False] * (len(whole) - 1) + [True]
    assert all(len(part.data) == 8 for part in whole[:-1])


def test_a_bucket_is_named_by_a_url() -> None:
    """TLS unless said otherwise."""
    assert parse("s3://s3.eu-west-1.amazonaws.com/models?region=eu-west-1") == Bucket(
        "s3.eu-west-1.amazonaws.com", "models", True, "eu-west-1"
    )
    assert parse("s3://minio:9000/ftf?secure=false&public=https://s3.example.com&ca=/etc/ca.pem") == Bucket(
        "minio:9000", "ftf", False, "us-east-1", ("s3.example.com", True), "/etc/ca.pem"
    )
