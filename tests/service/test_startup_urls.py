"""Malformed URLs of stores are refused at the start, and not shown."""

from __future__ import annotations

import pytest

from services.common.bus import Bus
from services.common.errors import InvalidArgument, Unavailable
from services.common.stores import open_documents, open_objects
from tests.service.test_startup import SECRET


@pytest.mark.parametrize("rest", ["/x@127.0.0.1:4222", "@127.0.0.1:port"])
async def test_a_url_that_nats_cannot_read_is_refused_and_not_shown(rest: str) -> None:
    """As with a slash in the password; it would never be connected to."""
    with pytest.raises(InvalidArgument) as caught:
        await Bus.connect(f"nats://ftf:{SECRET}{rest}")

    assert "FTF_NATS_URL (nats of the chart)" in caught.value.message
    assert SECRET not in caught.value.message


MALFORMED = [
    "mongodb://",
    f"mongodb://ftf:{SECRET}",
    f"mongodb://ftf:{SECRET}@",
    f"mongodb://ftf:a@{SECRET}@host",
    f"mongodb://ftf:a/{SECRET}@host/",
    f"mongodb://ftf:{SECRET}@host:port/",
    f"mongodb://ftf:{SECRET}@host:1/?readPreference=x%y&tls=maybe",
    f"postgres://ftf:{SECRET}@host/",
    f"ftf:{SECRET}@host",
    "sqlite://",
    "",
]


@pytest.mark.parametrize("url", MALFORMED)
async def test_a_malformed_url_of_documents_is_refused_without_showing_it(url: str) -> None:
    """For no one knows where its password begins."""
    with pytest.raises((InvalidArgument, Unavailable)) as caught:
        await (await open_documents(url, "training")).close()

    assert caught.value.reason == "CONFIGURATION"
    assert "://" in caught.value.message
    assert SECRET not in caught.value.message


MALFORMED_BUCKETS = [
    "s3://",
    "s3://host",
    "s3://host/",
    "s3://host/Bucket_",
    "s3://host/bucket/folder",
    f"s3://key:{SECRET}@host/bucket",
    "s3://host:port/bucket",
    "s3://host/bucket?secure=yes",
    "s3://host/bucket?region=",
    "s3://host/bucket?regoin=x",
    "s3://host/bucket?public=host",
    "s3://host/bucket?public=https://host/path",
    f"https://key:{SECRET}@host/bucket",
    "file://",
]


@pytest.mark.parametrize("url", MALFORMED_BUCKETS)
def test_a_malformed_url_of_objects_is_refused_with_the_form(url: str) -> None:
    """Keys in it are refused too, since URLs are shown."""
    with pytest.raises(InvalidArgument) as caught:
        open_objects(url)

    assert caught.value.reason == "CONFIGURATION"
    assert SECRET not in caught.value.message
