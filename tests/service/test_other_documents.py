"""Documents that nobody made for this project, through the whole flow: nothing is lost in silence on the way."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from finetuneflow.common.v1 import work_pb2
from finetuneflow.dataset.v1 import dataset_service_pb2, dataset_service_pb2_grpc, example_pb2
from finetuneflow.ingest.v1 import chunk_pb2, file_pb2, ingest_service_pb2_grpc
from finetuneflow.ingest.v1 import ingest_service_pb2 as pb
from services.dataset.compose import compose as dataset_compose
from services.ingest.compose import compose as ingest_compose
from tests.fakes import ingesting, other_documents
from tests.fakes.datasets import NAME, balanced, endpoint, examples, generated, rows, state
from tests.fakes.llm_server import llm
from tests.fakes.running import serving
from tests.fakes.transfers import exported, imported
from tests.service.test_dataset_ledger import steps, why

COMPOSES = {"ingest": ingest_compose, "dataset": dataset_compose}
AT_ONCE = 4


async def read_all(stub: Any, documents: Mapping[str, bytes]) -> dict[str, file_pb2.File]:
    """Upload documents and wait until each is read and cut, or refused."""
    free = asyncio.Semaphore(AT_ONCE)

    async def one(name: str) -> file_pb2.File:
        async with free:
            return await ingesting.read(stub, documents[name], name)

    found = await asyncio.gather(*map(one, documents))
    await ingesting.chunked(stub, max_tokens=128)
    return {file.display_name: await stub.GetFile(pb.GetFileRequest(name=file.name)) for file in found}


def stands(example: example_pb2.Example, chunk: chunk_pb2.Chunk) -> bool:
    """Whether an example's evidence is found where it is said to stand: in its chunk's text and on its page."""
    span, at = example.evidence_span, 0
    words = ""
    for part in chunk.spans:
        first, last = max(span.start, part.start), min(span.end, part.end)
        if first < last:
            words += chunk.text[at + first - part.start : at + last - part.start]
        at += part.end - part.start
    place = example.place
    near = [p for p in chunk.places if p.span.start <= span.start < p.span.end]
    same = [p for p in near if (p.page, p.slide, p.sheet, p.line) == (place.page, place.slide, place.sheet, place.line)]
    return bool(words.strip()) and words == example.evidence and bool(same)


def lost(file: file_pb2.File) -> bool:
    """Whether the reading or the cutting of a file lost something without a reason."""
    return not ingesting.balanced(file.text.count) or not ingesting.balanced(file.chunking.count)


async def chunks_by_name(stub: Any, files: Sequence[file_pb2.File]) -> dict[str, chunk_pb2.Chunk]:
    """Return all chunks of some files."""
    return {chunk.name: chunk for file in files for chunk in await ingesting.chunks_of(stub, file.name)}


async def test_other_documents_balance_from_file_to_frozen_row(tmp_path: Path) -> None:
    """Licences, manuals, tables, code, books, templates: each is read or says why not, and every step adds up."""
    good, bad = other_documents.readable(), other_documents.unreadable()
    async with llm() as server, serving(tmp_path, COMPOSES) as served, served.channel() as channel:
        ingest: Any = ingest_service_pb2_grpc.IngestServiceStub(channel)
        stub: Any = dataset_service_pb2_grpc.DatasetServiceStub(channel)
        await ingest.CreateProject(pb.CreateProjectRequest(project_id="p", request_id="p"))
        files = await read_all(ingest, {**good, **{name: data for name, (data, _) in bad.items()}})
        await stub.CreateLlmEndpoint(endpoint(server))
        dataset = await generated(stub)
        before = await steps(stub)
        version = (await stub.FreezeDataset(dataset_service_pb2.FreezeDatasetRequest(name=NAME))).versions[-1]
        ledger = await steps(stub, version=version.version)
        accepted = await examples(stub)
        dropped = await examples(stub, "accepted = false")
        chunks = await chunks_by_name(ingest, [files[name] for name in good])
        lines = await rows(stub, version=version.version)
        copy = await imported(stub, await exported(stub, format="messages", encoding="parquet"), "copy")

    failed = work_pb2.WORK_STATE_FAILED
    assert len(good) >= 20
    assert {n: ingesting.reason(f) for n, f in files.items() if f.work.state == failed} == {
        name: reason for name, (_, reason) in bad.items()
    }
    assert [name for name in good if not files[name].chunking.chunks or lost(files[name])] == []
    assert (state(dataset), balanced(dataset)) == ("SUCCEEDED", True)
    assert (getattr(ledger["files"], "in"), ledger["files"].out) == (len(files), len(good))
    assert {row for drop in ledger["files"].dropped for row in drop.rows} == {files[name].name for name in bad}
    assert getattr(ledger["chunks"], "in") == len(chunks) == sum(files[name].chunking.chunks for name in good)
    assert ledger["replies"].out == len(accepted) + sum(why(ledger["checks"]).values())
    assert ledger["split"].out == before["split"].out == len(accepted) == len(lines)
    assert {line["id"] for line in lines} == {example.name for example in accepted}
    assert all(example.drop_reason for example in dropped)
    assert [e.name for e in accepted if not stands(e, chunks[e.chunk])] == []
    # Of tables, code and lists there is no passage to ask about.
    assert len({e.chunk.rpartition("/chunks/")[0] for e in accepted}) >= 10
    assert (state(copy), copy.counts[-1].out) == ("SUCCEEDED", len(lines))
