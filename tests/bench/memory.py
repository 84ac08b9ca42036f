"""Memory of the services through a whole flow: python -m tests.bench.memory [--pages N N …] [--per-chunk N]

Starts the server as `ftf up` does, in a process of its own, sends it a PDF of so many pages, cuts it, has an LLM in a
third process asked about every chunk, freezes what came of it, and reads it out in all ways. Prints the largest
resident memory of the server's process while each step ran and the largest of its children (the sandbox, nats-server),
and for several sizes how the memory grows with the rows. A fresh server for each size.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil

from finetuneflow.common.v1 import work_pb2
from finetuneflow.dataset.v1 import dataset_pb2, dataset_service_pb2_grpc, ledger_pb2, transfer_pb2
from finetuneflow.dataset.v1 import dataset_service_pb2 as service_pb
from finetuneflow.ingest.v1 import ingest_service_pb2 as ingest_pb
from finetuneflow.ingest.v1 import ingest_service_pb2_grpc
from finetuneflow_client.discovery import find_server
from tests.bench.generation import llm
from tests.bench.server import up
from tests.fakes import ingesting
from tests.fakes.big_pdf import big_pdf
from tests.fakes.datasets import NAME, endpoint, wanted
from tests.fakes.running import channel_to
from tests.fakes.transfers import encoding_of, format_of

_EVERY = 0.02
_LINES = 24
MB = 1e6


@dataclass
class Step:
    """One step: how long it took, and the most memory meanwhile, in MB."""

    name: str
    seconds: float = 0
    server: float = 0
    child: float = 0


@dataclass
class Watch:
    """Notes the memory of a process, step by step."""

    process: psutil.Process
    steps: list[Step] = field(default_factory=list)

    def look(self) -> None:
        """Note what it is now."""
        step = self.steps[-1]
        step.server = max(step.server, self.process.memory_info().rss / MB)
        for child in self.process.children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                step.child = max(step.child, child.memory_info().rss / MB)

    @asynccontextmanager
    async def step(self, name: str) -> AsyncIterator[None]:
        """Look all the time while the block runs."""
        self.steps.append(Step(name))
        began = time.perf_counter()
        looking = asyncio.create_task(self._looking())
        try:
            yield
        finally:
            looking.cancel()
            self.look()
            self.steps[-1].seconds = time.perf_counter() - began

    async def _looking(self) -> None:
        while True:
            self.look()
            await asyncio.sleep(_EVERY)


def line(page: int, place: int) -> str:
    """Return a sentence that no other page has."""
    number = page * _LINES + place
    return f"Pump {number} of hall {page} is oiled every {number % 53 + 2} weeks with grease {number * 7}."


async def flow(address: str, token: str, url: str, pages: int, per_chunk: int, watch: Watch) -> int:
    """Send the document through; return how many examples were accepted."""
    async with channel_to(address, token) as channel:
        ingest: Any = ingest_service_pb2_grpc.IngestServiceStub(channel)
        stub: Any = dataset_service_pb2_grpc.DatasetServiceStub(channel)
        await ingest.CreateProject(ingest_pb.CreateProjectRequest(project_id="p", request_id="p"))
        document = big_pdf(pages, _LINES, line)
        async with watch.step(f"reading, {len(document) / MB:.1f} MB"):
            file = await ingesting.read(ingest, document, "pumps.pdf")
        async with watch.step("cutting"):
            (file,) = await ingesting.chunked(ingest, file.name)
        await stub.CreateLlmEndpoint(endpoint(_Url(url), max_concurrency=32, timeout_seconds=60))  # type: ignore[arg-type]  # its URL is all that is asked
        told = dataset_pb2.Dataset()
        await stub.CreateDataset(wanted(examples_per_chunk=per_chunk, near_duplicate=1, max_tokens=64))
        updates = stub.WatchDataset(service_pb.WatchDatasetRequest(name=NAME))
        # All is judged some time before it is frozen for the first time and the dataset ends.
        for name, reached in (("planning", _planned), ("generating", _judged), ("freezing at first", _never)):
            async with watch.step(f"{name}, {file.chunking.chunks:,} chunks"):
                async for update in updates:
                    told = update.dataset
                    if reached(told.work.progress):
                        break
        async with watch.step("freezing again"):
            await stub.FreezeDataset(service_pb.FreezeDatasetRequest(name=NAME))
        async with watch.step("ledger"):
            await stub.GetLedger(ledger_pb2.GetLedgerRequest(name=NAME))
        async with watch.step("listing"):
            await _listed(stub)
        for encoding in ("jsonl", "csv", "parquet"):
            async with watch.step(f"export, {encoding}"):
                await _exported(stub, encoding)
        async with watch.step("statistics"):
            await stub.GetDatasetStatistics(service_pb.GetDatasetStatisticsRequest(name=NAME, count_tokens=True))
    print(f"{told.usage.calls:,} calls, {told.counts[-1].out:,} examples accepted")
    return told.counts[-1].out


def _planned(progress: work_pb2.Progress) -> bool:
    return progress.done > 0


def _judged(progress: work_pb2.Progress) -> bool:
    return progress.done == progress.total > 0


def _never(progress: work_pb2.Progress) -> bool:
    return False


async def _listed(stub: Any) -> None:
    token = ""
    while True:
        page = await stub.ListExamples(service_pb.ListExamplesRequest(parent=NAME, page_size=500, page_token=token))
        token = page.next_page_token
        if not token:
            return


async def _exported(stub: Any, encoding: str) -> None:
    """Read an export without keeping it."""
    wish = {"format": format_of("messages"), "encoding": encoding_of(encoding)}
    async for _ in stub.ExportDataset(transfer_pb2.ExportDatasetRequest(name=NAME, **wish)):
        pass


class _Url:
    def __init__(self, url: str) -> None:
        self.url = url


def measure(pages: int, per_chunk: int) -> tuple[int, float]:
    """Print the steps of one size; return its examples, and the server's most memory in MB."""
    with tempfile.TemporaryDirectory() as folder, llm(0.02) as (url, _), up(Path(folder)) as (process, _):
        time.sleep(1)
        found = find_server(state=folder)
        watch = Watch(process, [Step("at rest")])
        watch.look()
        print(f"\n{pages:,} pages, {per_chunk} examples a chunk")
        rows = asyncio.run(flow(found.address, found.token, url, pages, per_chunk, watch))
    print(f"{'':<34}{'seconds':>9}{'server MB':>11}{'child MB':>10}")
    for step in watch.steps:
        print(f"{step.name:<34}{step.seconds:>9.1f}{step.server:>11.0f}{step.child:>10.0f}")
    return rows, max(step.server for step in watch.steps)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pages", type=int, nargs="+", default=[250, 1000])
    parser.add_argument("--per-chunk", type=int, default=3)
    arguments = parser.parse_args()
    sizes = [measure(pages, arguments.per_chunk) for pages in arguments.pages]
    for (rows, most), (more, further) in pairwise(sizes):
        each = (further - most) * 1000 / max(more - rows, 1)
        print(f"\nfrom {rows:,} to {more:,} examples: {each:.1f} kB for each further one")


if __name__ == "__main__":
    main()
