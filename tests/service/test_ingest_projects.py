"""What goes with a project or a file, and who is told."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from finetuneflow.common.v1 import event_pb2
from finetuneflow.ingest.v1 import ingest_service_pb2 as pb
from services.common.bus import Bus
from services.common.clock import SystemClock
from services.common.natsserver import NatsServer
from services.common.objects.folder import FolderObjects
from services.common.objects.unfinished import Unfinished
from services.common.resources import Resources
from services.common.stores import open_documents
from services.ingest.store import CHUNK_INDEXES, FILE_INDEXES, ChunkStore
from services.ingest.sweeping import Sweeper
from tests.fakes.documents import PROSE
from tests.fakes.ingesting import (
    PROJECT,
    chunked,
    ingest,
    read,
)


async def test_events_tell_of_cut_and_deleted_files_and_projects(tmp_path: Path) -> None:
    """One event for each change, with the resource's name; extraction alone tells nothing."""
    nats = NatsServer(tmp_path / "nats")
    await nats.start()
    bus = await Bus.connect(nats.url)
    events: dict[str, event_pb2.Event] = {}
    all_heard = asyncio.Event()

    async def hear(data: bytes) -> None:
        event = event_pb2.Event.FromString(data)
        events[event.id] = event  # a repeat carries the same id
        if len(events) == 4:
            all_heard.set()

    listening = asyncio.create_task(bus.consume("test", ["ftf.events.>"], hear))
    try:
        async with ingest(tmp_path / "state", nats=nats) as (stub, _):
            first = await read(stub, PROSE.encode(), "a.txt")
            second = await read(stub, PROSE.encode(), "b.txt")
            await chunked(stub, first.name)
            await stub.DeleteFile(pb.DeleteFileRequest(name=first.name))
            await stub.DeleteProject(pb.DeleteProjectRequest(name=PROJECT))
            await asyncio.wait_for(all_heard.wait(), 30)
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
        await bus.close()
        await nats.stop()

    assert sorted((event.type, event.resource) for event in events.values()) == [
        ("file.chunked", first.name),
        *(("file.deleted", name) for name in sorted((first.name, second.name))),
        ("project.deleted", PROJECT),
    ]
    # What the caller did bears the caller's name; what the service did by itself, its own.
    assert {event.type: event.actor for event in events.values() if event.resource != second.name} == {
        "file.chunked": "files",
        "file.deleted": "tester",
        "project.deleted": "tester",
    }


async def test_what_no_document_names_is_swept(tmp_path: Path) -> None:
    """Objects of an upload that broke off a day ago, and chunks of a file that is gone; nothing else."""
    documents = await open_documents(f"sqlite://{tmp_path}/{{service}}.db", "ingest")
    objects = FolderObjects(tmp_path / "objects")
    files = Resources(documents.collection("files", FILE_INDEXES), "file", SystemClock())
    collection = documents.collection("chunks", CHUNK_INDEXES)
    chunks = ChunkStore(collection)
    old, new = f"{int((time.time() - 90_000) * 1000):013x}aaa", f"{int(time.time() * 1000):013x}bbb"
    keys = [f"projects/p/documents/{old}/content", f"projects/p/documents/{new}/content", "projects/p/datasets/d/x"]
    named = f"projects/p/documents/{old}ccc/content"
    for key in [*keys, named]:
        await objects.put(key, b"x")
    fields = {"folder": named.removesuffix("/content"), "chunking": {"edition": 2}}
    kept = await files.create("projects/p/files/f", fields)
    for name, uid, edition in (("f", kept["uid"], 1), ("f", kept["uid"], 2), ("f", "another", 2), ("g", "gone", 1)):
        file = f"projects/p/files/{name}"
        await collection.insert(
            {"_id": f"{file}/{uid}{edition}", "file": file, "uid": uid, "edition": edition, "order": "0"}
        )

    await Sweeper(files, chunks, objects, Unfinished(objects, "ingest", SystemClock())).sweep()

    assert [key async for key in objects.list("")] == sorted([*keys[1:], named])
    assert [doc["_id"] for doc in await collection.find({})] == [f"projects/p/files/f/{kept['uid']}2"]
    await documents.close()
