"""How files are cut: gaps with their reason, strategies, and a preview that stores nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest_asyncio

from finetuneflow.ingest.v1 import chunk_pb2, file_pb2
from finetuneflow.ingest.v1 import ingest_service_pb2 as pb
from services.common.documents.sqlite import SqliteDocuments
from services.ingest.store import FILE_INDEXES
from tests.fakes.documents import PROSE, pdf
from tests.fakes.ingesting import (
    PROJECT,
    balanced,
    child_at_work,
    children,
    chunked,
    chunks_of,
    ingest,
    queue_chunks,
    read,
    uploaded,
)
from tests.fakes.running import Served, refusal

INVALID, NOT_READY = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.FAILED_PRECONDITION
MARKDOWN, CODE = file_pb2.CHUNK_STRATEGY_MARKDOWN, file_pb2.CHUNK_STRATEGY_CODE
MANUAL = f"Before.\n\n# Pump\n\n{PROSE}\n\n## Care\n\n{PROSE}\n\n### Oil\n\n{PROSE}\n\n# End\n\nDone.\n"


@pytest_asyncio.fixture
async def server(tmp_path: Path) -> AsyncIterator[tuple[Any, Served]]:
    """The service."""
    async with ingest(tmp_path) as found:
        yield found


@pytest_asyncio.fixture
async def stub(server: tuple[Any, Served]) -> Any:
    """The service's stub."""
    return server[0]


def preview(stub: Any, file: str, most: int = 0, **settings: Any) -> Any:
    """Return the call, not yet awaited."""
    wanted = file_pb2.ChunkSettings(**settings)
    return stub.PreviewChunks(pb.PreviewChunksRequest(file=file, settings=wanted, max_chunks=most))


def union(chunks: list[chunk_pb2.Chunk]) -> list[tuple[int, int]]:
    """Return spans and gaps of chunks as ranges in order, those that touch joined."""
    parts = [span for c in chunks for span in c.spans] + [gap.span for c in chunks for gap in c.gaps]
    joined: list[tuple[int, int]] = []
    for start, end in sorted((part.start, part.end) for part in parts):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined


async def test_spans_and_gaps_of_a_files_chunks_are_its_text(stub: Any) -> None:
    """Running heads and page numbers are gaps of their own reason, and the counts agree with the list."""
    pages = [f"{PROSE}\n\nParagraph {i} on how the pump is oiled." for i in range(5)]
    file = await read(stub, pdf(*pages, header="Pump manual"), "manual.pdf")
    (cut,) = await chunked(stub, file.name, max_tokens=64, overlap_tokens=8)
    chunks = await chunks_of(stub, file.name)
    gaps = [gap for chunk in chunks for gap in chunk.gaps]

    assert union(chunks) == [(0, file.text.characters)]
    assert cut.chunking.gap_count == len(gaps)
    assert list(cut.chunking.gaps) == gaps[:100]
    assert balanced(cut.chunking.count)
    for drop in cut.chunking.count.dropped:
        assert drop.count == sum(gap.span.end - gap.span.start for gap in gaps if gap.reason == drop.reason)
    assert {gap.reason for gap in gaps} >= {"WHITESPACE", "PAGE_HEADER"}


async def test_a_preview_shows_what_cutting_then_does_and_stores_nothing(stub: Any) -> None:
    """The same chunks, counts and gaps; the file stays as it is."""
    file = await read(stub, MANUAL.encode(), "manual.md")
    settings = {"max_tokens": 48, "strategy": MARKDOWN, "heading_depth": 3}

    found = await preview(stub, file.name, 100, **settings)
    few = await preview(stub, file.name, 2, **settings)
    after = await stub.GetFile(pb.GetFileRequest(name=file.name))
    (cut,) = await chunked(stub, file.name, **settings)
    chunks = await chunks_of(stub, file.name)
    for chunk in chunks:
        chunk.name = ""

    assert list(found.chunks) == chunks
    assert found.chunking == cut.chunking
    assert (len(few.chunks), few.chunking) == (2, found.chunking)
    assert sum(b.chunks for b in found.histogram) == found.chunking.chunks
    assert after == file
    assert not after.HasField("chunking")


async def test_strategies_are_recorded_and_cut_as_they_say(stub: Any) -> None:
    """Headings begin chunks; another strategy is another cutting; the default is named in the answer."""
    file = await read(stub, MANUAL.encode(), "manual.md")

    (plain,) = await chunked(stub, file.name)
    whole = await chunks_of(stub, file.name)
    (by_heading,) = await chunked(stub, file.name, strategy=MARKDOWN)
    parts = await chunks_of(stub, file.name)
    (again,) = (await queue_chunks(stub, file.name, strategy=MARKDOWN)).files
    (code,) = await chunked(stub, file.name, strategy=CODE)

    assert len(whole) == 1
    assert [c.text.split("\n")[0] for c in parts] == ["Before.", "# Pump", "## Care", "# End"]
    assert plain.chunking.settings.strategy == file_pb2.CHUNK_STRATEGY_STRUCTURE
    assert (by_heading.chunking.settings.strategy, by_heading.chunking.settings.heading_depth) == (MARKDOWN, 2)
    assert again == by_heading
    assert code.chunking.settings.strategy == CODE


async def test_previews_are_refused_with_the_reason(stub: Any) -> None:
    """Settings out of range, too many chunks, a file that is not read yet or could not be."""
    file = await read(stub, b"Some text.", "a.md")
    bad = await read(stub, b"\xff\xfe\xfa", "b.txt")

    assert await refusal(preview(stub, file.name, 101)) == (INVALID, "INVALID_FIELD")
    assert await refusal(preview(stub, file.name, strategy=9)) == (INVALID, "INVALID_FIELD")
    assert await refusal(preview(stub, file.name, heading_depth=2)) == (INVALID, "INVALID_FIELD")
    assert await refusal(preview(stub, file.name, strategy=MARKDOWN, heading_depth=7)) == (INVALID, "INVALID_FIELD")
    assert await refusal(preview(stub, bad.name)) == (NOT_READY, "NOT_EXTRACTED")
    assert await refusal(preview(stub, f"{PROJECT}/files/none")) == (grpc.StatusCode.NOT_FOUND, "NOT_FOUND")


async def test_a_client_that_goes_away_ends_the_preview(stub: Any) -> None:
    """No process works for nobody."""
    file = await read(stub, (PROSE + "\n\n").encode() * 30_000, "long.md")
    call = preview(stub, file.name)
    waiting = asyncio.ensure_future(call)
    await child_at_work()
    waiting.cancel()
    call.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    for _ in range(300):
        if not children():
            break
        await asyncio.sleep(0.05)

    assert children() == []


async def test_files_cut_before_there_were_gaps_and_strategies_are_shown(server: tuple[Any, Served]) -> None:
    """Stored documents without the new fields are read as what they were."""
    stub, served = server
    file = await read(stub, MANUAL.encode(), "manual.md")
    await chunked(stub, file.name)
    await _forget(served, file.name)
    shown = await stub.GetFile(pb.GetFileRequest(name=file.name))
    queued = await queue_chunks(stub, file.name)

    assert shown.chunking.chunks == 1
    assert shown.chunking.settings.strategy == file_pb2.CHUNK_STRATEGY_STRUCTURE
    assert shown.chunking.gap_count == 0
    assert queued.files[0] == shown


async def _forget(served: Served, name: str) -> None:
    """Take from a file's document what older releases did not write."""
    store = SqliteDocuments(served.config.state / "documents" / "ingest.db")
    files = store.collection("files", FILE_INDEXES)
    doc = await files.get(name)
    assert doc is not None
    for field in ("gaps", "gap_count"):
        del doc["chunking"][field]
    await files.replace(doc)
    await store.close()


async def test_what_was_only_just_uploaded_is_not_read_yet(stub: Any) -> None:
    """A preview does not wait for the reading."""
    file = await uploaded(stub, pdf(*[PROSE] * 50), "slow.pdf")

    assert await refusal(preview(stub, file.name)) == (NOT_READY, "NOT_EXTRACTED")
