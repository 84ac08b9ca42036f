"""Downloads over connections that break again and again."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from finetuneflow.common.v1 import artifact_pb2
from finetuneflow.dataset.v1 import dataset_service_pb2
from finetuneflow_client import downloads
from finetuneflow_client.errors import FtfError

DATA = bytes(range(200))
ARTIFACT = artifact_pb2.Artifact(filename="a", size_bytes=len(DATA), sha256=hashlib.sha256(DATA).hexdigest())
Part = dataset_service_pb2.DownloadDatasetResponse


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits between two tries."""
    monkeypatch.setattr(downloads, "_PAUSE_SECONDS", 0)


async def test_a_download_goes_on_for_as_long_as_each_connection_brings_something(tmp_path: Path) -> None:
    """A long one over a bad link has more breaks than anybody would count as tries."""
    connections = []

    async def source(offset: int) -> AsyncIterator[Part]:
        connections.append(offset)
        yield Part(data=DATA[offset : offset + 10])
        if offset + 10 < len(DATA):
            raise FtfError("the link broke", code="UNAVAILABLE")

    path = await downloads.fetch(source, ARTIFACT, tmp_path / "a")

    assert path.read_bytes() == DATA
    assert connections == list(range(0, len(DATA), 10))


async def test_a_download_that_comes_no_further_ends_with_the_error(tmp_path: Path) -> None:
    """After five connections in a row that brought nothing; what came stays for the next try."""
    connections = []

    async def source(offset: int) -> AsyncIterator[Part]:
        connections.append(offset)
        if not offset:
            yield Part(data=DATA[:10])
        raise FtfError("the link broke", code="UNAVAILABLE")

    with pytest.raises(FtfError) as failed:
        await downloads.fetch(source, ARTIFACT, tmp_path / "a")

    assert failed.value.away
    assert connections == [0, 10, 10, 10, 10, 10]
    assert [path.stat().st_size for path in tmp_path.iterdir()] == [10]


async def test_a_server_that_sends_too_much_is_not_asked_for_ever(tmp_path: Path) -> None:
    """Bytes that are not the announced ones are told as such, and nothing of them stays."""

    async def source(offset: int) -> AsyncIterator[Part]:
        yield Part(data=DATA + b"more")

    with pytest.raises(FtfError) as failed:
        await downloads.fetch(source, ARTIFACT, tmp_path / "a")

    assert failed.value.code == "DATA_LOSS"
    assert not list(tmp_path.iterdir())


async def test_what_another_download_is_fetching_is_refused_and_the_other_goes_on(tmp_path: Path) -> None:
    """Both would write one file: neither would be whole. Once the first is done, the second finds its file."""
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slow(offset: int) -> AsyncIterator[Part]:
        yield Part(data=DATA[offset : offset + 10])
        begun.set()
        await go_on.wait()
        yield Part(data=DATA[offset + 10 :])

    async def source(offset: int) -> AsyncIterator[Part]:
        yield Part(data=DATA[offset:])

    first = asyncio.create_task(downloads.fetch(slow, ARTIFACT, tmp_path / "a"))
    await begun.wait()
    with pytest.raises(FtfError) as refused:
        await downloads.fetch(source, ARTIFACT, tmp_path / "a")
    go_on.set()
    path = await first

    assert (refused.value.code, refused.value.remedy) == ("FAILED_PRECONDITION", "wait for it")
    assert await downloads.fetch(source, ARTIFACT, tmp_path / "a") == path
    assert path.read_bytes() == DATA
    assert list(tmp_path.iterdir()) == [path]


async def test_a_download_that_ended_lets_the_next_one_go_on_with_its_part(tmp_path: Path) -> None:
    """Also one that was broken off."""
    begun = asyncio.Event()
    offsets: list[int] = []

    async def endless(offset: int) -> AsyncIterator[Part]:
        yield Part(data=DATA[:10])
        begun.set()
        await asyncio.Event().wait()

    async def source(offset: int) -> AsyncIterator[Part]:
        offsets.append(offset)
        yield Part(data=DATA[offset:])

    first = asyncio.create_task(downloads.fetch(endless, ARTIFACT, tmp_path / "a"))
    await begun.wait()
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    path = await downloads.fetch(source, ARTIFACT, tmp_path / "a")

    assert offsets == [10]
    assert path.read_bytes() == DATA
