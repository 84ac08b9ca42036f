"""The work on files: cancelled, killed, restarted, deleted under way; and the events that go with it."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio

from finetuneflow.common.v1 import work_pb2
from finetuneflow.ingest.v1 import ingest_service_pb2 as pb
from services.common.errors import NotFound
from services.common.objects.folder import FolderObjects
from services.common.stores import open_documents
from services.ingest.store import CHUNK_INDEXES, ChunkStore
from tests.fakes.documents import PROSE
from tests.fakes.ingesting import (
    PROJECT,
    child_at_work,
    children,
    chunked,
    chunks_of,
    ended,
    ingest,
    queue_chunks,
    read,
    reason,
    uploaded,
)
from tests.fakes.running import Served, refusal

MISSING = grpc.StatusCode.NOT_FOUND
RUNNING, SUCCEEDED, FAILED, CANCELLED = (
    work_pb2.WORK_STATE_RUNNING,
    work_pb2.WORK_STATE_SUCCEEDED,
    work_pb2.WORK_STATE_FAILED,
    work_pb2.WORK_STATE_CANCELLED,
)
LONG = ("\n\n".join(f"Paragraph {i}. {PROSE}" for i in range(30_000))).encode()
"""Six megabytes: reading takes about a second, cutting several."""


@pytest_asyncio.fixture
async def server(tmp_path: Path) -> AsyncIterator[tuple[Any, Served]]:
    """The service's stub and server, with a project."""
    async with ingest(tmp_path) as found:
        yield found


@pytest_asyncio.fixture
async def stub(server: tuple[Any, Served]) -> Any:
    """The service's stub."""
    return server[0]


async def test_cancelling_kills_the_child_at_once(stub: Any) -> None:
    """The file ends as cancelled, its process is gone, and what was read before stays."""
    file = await read(stub, LONG, "long.txt")
    await queue_chunks(stub, file.name, max_tokens=32)
    child = await child_at_work()

    begun = time.monotonic()
    await stub.CancelFile(pb.CancelFileRequest(name=file.name))
    cancelled = await ended(stub, file.name)
    took = time.monotonic() - begun

    assert took < 20
    assert not child.is_running()
    assert children() == []
    assert cancelled.work.state == CANCELLED
    assert cancelled.text == file.text
    assert not cancelled.HasField("chunking")
    assert (await stub.CancelFile(pb.CancelFileRequest(name=file.name))) == cancelled


async def test_a_cancelled_extraction_is_taken_up_by_the_next_upload_or_cutting(stub: Any) -> None:
    """Cancelling is no failure of the document."""
    first = await uploaded(stub, LONG, "first.txt")
    await child_at_work()
    await stub.CancelFile(pb.CancelFileRequest(name=first.name))
    cancelled = await ended(stub, first.name)

    await uploaded(stub, LONG, "first.txt")
    again = await ended(stub, first.name)

    assert cancelled.work.state == CANCELLED
    assert not cancelled.HasField("text")
    assert again.work.state == SUCCEEDED
    assert again.work.attempt == 2


async def test_a_file_that_is_still_being_read_is_cut_right_after(stub: Any) -> None:
    """Nobody has to wait between upload and cutting; a watcher sees one piece of work."""
    file = await uploaded(stub, PROSE.encode(), "a.txt")
    queued = await queue_chunks(stub, file.name)
    watch = stub.WatchFile(pb.WatchFileRequest(name=file.name))
    states = [answer.file.work.state async for answer in watch]

    assert [f.name for f in queued.files] == [file.name]
    assert SUCCEEDED not in states[:-1]
    assert len(await chunks_of(stub, file.name)) == 1


async def test_the_last_of_several_wishes_holds(stub: Any) -> None:
    """Other settings while a file is being cut: it is cut once more, in the same piece of work."""
    file = await read(stub, LONG[:1_000_000], "long.txt")
    await queue_chunks(stub, file.name, max_tokens=64)
    await child_at_work()
    (done,) = await chunked(stub, file.name, max_tokens=8192)

    assert done.work.state == SUCCEEDED
    assert done.work.attempt == file.work.attempt + 1
    assert done.chunking.settings.max_tokens == 8192
    assert len(await chunks_of(stub, file.name, page_size=1000)) == done.chunking.chunks < 50


async def test_a_child_killed_once_is_started_again(stub: Any) -> None:
    """kill -9 in the middle of an extraction, as by a kernel out of memory, costs a second attempt."""
    file = await uploaded(stub, LONG, "long.txt")
    child = await child_at_work()

    os.kill(child.pid, signal.SIGKILL)
    done = await ended(stub, file.name)

    assert done.work.state == SUCCEEDED
    assert done.text.characters == len(LONG)


async def test_a_child_killed_twice_fails_its_file_alone(stub: Any) -> None:
    """The file says why; another one is read meanwhile; uploading it again tries again."""
    file = await uploaded(stub, LONG, "long.txt")
    first = await child_at_work()
    os.kill(first.pid, signal.SIGKILL)
    second = await child_at_work(other_than=first)
    os.kill(second.pid, signal.SIGKILL)
    failed = await ended(stub, file.name)

    other = await read(stub, PROSE.encode(), "other.txt")
    await uploaded(stub, LONG, "long.txt")
    again = await ended(stub, file.name)

    assert (failed.work.state, reason(failed)) == (FAILED, "EXTRACTION_LIMIT")
    assert (other.work.state, again.work.state) == (SUCCEEDED, SUCCEEDED)


async def test_a_service_that_stops_goes_on_with_its_work_at_the_next_start(tmp_path: Path) -> None:
    """Cutting is begun anew, with no chunk lost or doubled, and no child outlives its service."""
    async with ingest(tmp_path) as (stub, _):
        file = await read(stub, LONG[:1_500_000], "long.txt")
        await queue_chunks(stub, file.name, max_tokens=256)
        await child_at_work()
    left = children()

    async with ingest(tmp_path) as (stub, _):
        done = await ended(stub, file.name)
        chunks = await chunks_of(stub, file.name, page_size=1000)

    assert left == []
    assert done.work.state == SUCCEEDED
    assert done.work.attempt > file.work.attempt
    assert [chunk.index for chunk in chunks] == list(range(done.chunking.chunks))
    assert list((tmp_path / "ingest" / "scratch").iterdir()) == []


async def test_a_project_takes_its_files_chunks_and_objects_with_it(server: tuple[Any, Served]) -> None:
    """They are gone for readers at once, and from the stores soon after; work under way ends."""
    stub, served = server
    file = await read(stub, PROSE.encode(), "a.txt")
    await chunked(stub, file.name)
    busy = await uploaded(stub, LONG, "long.txt")
    child = await child_at_work()

    await stub.DeleteProject(pb.DeleteProjectRequest(name=PROJECT))
    gone = [await refusal(stub.GetFile(pb.GetFileRequest(name=name))) for name in (file.name, busy.name)]
    objects = FolderObjects(Path(served.config.objects.removeprefix("file://")))
    for _ in range(100):
        if not [key async for key in objects.list("projects/")] and not child.is_running():
            break
        await asyncio.sleep(0.1)

    assert gone == [(MISSING, "NOT_FOUND")] * 2
    assert [key async for key in objects.list("projects/")] == []
    assert not child.is_running()
    documents = await open_documents(served.config.documents, "ingest")
    try:
        for _ in range(100):
            counts = [await documents.collection(kind).count({}) for kind in ("projects", "files", "chunks")]
            if counts == [0, 0, 0]:
                break
            await asyncio.sleep(0.1)
        assert counts == [0, 0, 0]
    finally:
        await documents.close()


async def test_readers_see_the_current_cutting_alone(tmp_path: Path) -> None:
    """Chunks of an earlier or a later one, or of another file of the same name, are not there for them."""
    documents = await open_documents(f"sqlite://{tmp_path}/{{service}}.db", "ingest")
    collection = documents.collection("chunks", CHUNK_INDEXES)
    chunks = ChunkStore(collection)
    chunking = {"edition": 2, "settings": {"max_tokens": 384}}
    file = {"_id": "projects/p/files/f", "uid": "u", "chunking": chunking}
    for uid, edition in (("u", 1), ("u", 2), ("u", 3), ("v", 2)):
        named = {"_id": f"{uid}{edition}", "file": file["_id"], "uid": uid, "edition": edition}
        await collection.insert({**named, "order": "0", "text": "x"})

    listed, token = await chunks.page(file, 0, "")
    refused = []
    for name in ("u1", "u3", "v2", "none"):
        with pytest.raises(NotFound):
            await chunks.get(name, file)
        refused.append(name)

    assert ([doc["_id"] for doc in listed], token) == (["u2"], "")
    assert (await chunks.get("u2", file))["edition"] == 2
    assert len(refused) == 4
    await documents.close()


def test_the_long_document_is_long_enough() -> None:
    """The tests above interrupt work in its middle."""
    assert len(LONG) > 5_000_000
