"""The dataset service on a state folder, with an LLM and documents that a test chooses, and calls that tests share."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

from google.rpc import error_details_pb2

from finetuneflow.common.v1 import work_pb2
from finetuneflow.dataset.v1 import dataset_pb2, dataset_service_pb2_grpc, example_pb2, llm_endpoint_pb2
from finetuneflow.dataset.v1 import dataset_service_pb2 as pb
from services.common.natsserver import NatsServer
from services.dataset.compose import compose
from tests.fakes.ingest import Ingest, library
from tests.fakes.llm_server import MODEL, LlmServer
from tests.fakes.running import Served, serving

PROJECT = "projects/p"
NAME = f"{PROJECT}/datasets/d"
SECONDS = 60


@asynccontextmanager
async def dataset_service(
    state: Path,
    server: LlmServer | None = None,
    ingest: Ingest | None = None,
    *,
    nats: NatsServer | None = None,
    **overrides: object,
) -> AsyncIterator[tuple[Any, Served]]:
    """The service's stub and server; with an LLM server there is an endpoint for it."""
    composes = {"dataset": compose, "ingest": (ingest or library(3)).compose}
    # An LLM that a test lets go away is given up after its tries, not after a minute.
    overrides.setdefault("settings", {"llm_patience_seconds": "0"})
    async with serving(state, composes, nats=nats, **overrides) as served, served.channel() as channel:
        stub = dataset_service_pb2_grpc.DatasetServiceStub(channel)
        if server:
            await stub.CreateLlmEndpoint(endpoint(server))
        yield stub, served


def endpoint(server: LlmServer, id: str = "fake", api_key: str = "", **fields: Any) -> pb.CreateLlmEndpointRequest:
    """A request for an endpoint; the same one may be sent again."""
    wanted = {"base_url": server.url, "model": MODEL, "max_concurrency": 4, "timeout_seconds": 20, **fields}
    return pb.CreateLlmEndpointRequest(
        llm_endpoint=llm_endpoint_pb2.LlmEndpoint(**wanted), llm_endpoint_id=id, api_key=api_key, request_id=id
    )


def wanted(id: str = "d", request_id: str = "", **spec: Any) -> pb.CreateDatasetRequest:
    """A request for a dataset."""
    dataset = dataset_pb2.Dataset(spec=dataset_pb2.DatasetSpec(**spec))
    return pb.CreateDatasetRequest(parent=PROJECT, dataset=dataset, dataset_id=id, request_id=request_id)


async def ended(stub: Any, name: str = NAME) -> dataset_pb2.Dataset:
    """Watch a dataset until its work has ended."""
    found = dataset_pb2.Dataset()
    async with asyncio.timeout(SECONDS):
        async for update in stub.WatchDataset(pb.WatchDatasetRequest(name=name)):
            found = update.dataset
    return found


async def generated(stub: Any, id: str = "d", **spec: Any) -> dataset_pb2.Dataset:
    """Make a dataset and wait for its end."""
    return await ended(stub, (await stub.CreateDataset(wanted(id, **spec))).name)


async def examples(stub: Any, filter: str = "", name: str = NAME) -> list[example_pb2.Example]:
    """Return a dataset's examples, page by page."""
    found: list[example_pb2.Example] = []
    token = ""
    while True:
        request = pb.ListExamplesRequest(parent=name, page_size=7, page_token=token, filter=filter)
        page = await stub.ListExamples(request)
        found += page.examples
        token = page.next_page_token
        if not token:
            return found


async def rows(stub: Any, name: str = NAME, version: int = 0) -> list[dict[str, Any]]:
    """Return the lines of a frozen version."""
    parts = [part.data async for part in stub.DownloadDataset(pb.DownloadDatasetRequest(name=name, version=version))]
    return [json.loads(line) for line in b"".join(parts).decode().splitlines()]


def learnt(lines: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    """What frozen lines teach: side, prompt and response, whatever the dataset's name."""
    return sorted((line["split"], line["messages"][-2]["content"], line["messages"][-1]["content"]) for line in lines)


def balanced(dataset: dataset_pb2.Dataset) -> bool:
    """Whether no stage lost anything silently, and each begins with what the one before let on."""
    counts = list(dataset.counts)
    sums = all(getattr(c, "in") == c.out + sum(d.count for d in c.dropped) for c in counts)
    chain = all(a.out == getattr(b, "in") for a, b in pairwise(counts[1:]))
    return bool(counts) and sums and chain


def drops(dataset: dataset_pb2.Dataset) -> dict[str, int]:
    """Return what was dropped, over all stages, by reason."""
    return {drop.reason: drop.count for count in dataset.counts for drop in count.dropped}


def reason(dataset: dataset_pb2.Dataset) -> str:
    """Return the reason for which generation failed."""
    info = error_details_pb2.ErrorInfo()
    dataset.work.error.details[0].Unpack(info)
    return str(info.reason)


def state(dataset: dataset_pb2.Dataset) -> str:
    """Return the state without its prefix."""
    return work_pb2.WorkState.Name(dataset.work.state).removeprefix("WORK_STATE_")


async def until(true: Any) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(30):
        while not true():  # noqa: ASYNC110 - what is waited for is in a fake's plain list
            await asyncio.sleep(0.01)
