"""kill -9 of the dataset service, again and again: no call that was recorded is bought again, and nothing differs."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from finetuneflow.dataset.v1 import dataset_pb2, dataset_service_pb2_grpc
from finetuneflow.dataset.v1 import dataset_service_pb2 as pb
from services.common.natsserver import NatsServer
from services.dataset.core.vectors import BATCH
from tests.fakes import dataset_process, llm_server
from tests.fakes.datasets import (
    NAME,
    balanced,
    dataset_service,
    drops,
    ended,
    endpoint,
    examples,
    generated,
    state,
    until,
    wanted,
)
from tests.fakes.ingest import library
from tests.fakes.llm_server import Answer, Request, llm
from tests.fakes.running import channel_to
from tests.fakes.servers import free_ports

KILLS = 20
FEW_KILLS = 4
AT_ONCE = 4
FILES, CHUNKS = 40, 3


def slow(request: Request) -> Answer:
    """The same answer to the same prompt, each prompt after a time of its own."""
    text = llm_server.good(request).text
    return Answer(text, hang=random.Random(text).uniform(0.01, 0.05))


def judged(request: Request) -> Answer:
    """The same, and a judge's reply that no other prompt gets."""
    answer = slow(request)
    if "score" not in answer.text:
        return answer
    told = hashlib.sha256(request.asked.encode()).hexdigest()
    return Answer(json.dumps({"reason": told, "score": 1 if told[0] in "012" else 5}), hang=answer.hang)


def recorded(state: Path) -> set[str]:
    """Return the texts of the recorded calls, as a process that was killed left them."""
    with closing(sqlite3.connect(state / "documents" / "dataset.db")) as store:
        try:
            return {json.loads(body)["text"] for (body,) in store.execute("SELECT body FROM c_calls")}
        except sqlite3.OperationalError:
            return set()


@pytest.mark.timeout(180)
async def test_a_dataset_whose_service_is_killed_twenty_times_equals_one_that_never_was(tmp_path: Path) -> None:
    """The same bytes; no row twice; what was in flight is bought again, at most, and nothing that has a record."""
    async with llm(slow) as server:
        whole, begun = await uninterrupted(tmp_path / "whole", server)
        dataset, everything, answers = await interrupted(tmp_path / "killed", server)
        asked = Counter(server.prompts[begun:])

    assert state(dataset) == "SUCCEEDED"
    assert dataset.versions[0].artifact.sha256 == whole.versions[0].artifact.sha256
    assert dataset.versions[0].artifact.size_bytes == whole.versions[0].artifact.size_bytes > 0
    assert len(everything) == len({e.name for e in everything}) == len({e.prompt for e in everything}) == begun
    assert balanced(dataset)
    assert set(asked) == set(server.prompts[:begun])
    assert dataset.usage.calls == begun
    assert asked.total() - begun <= KILLS * AT_ONCE
    assert not answers


@pytest.mark.timeout(180)
async def test_with_a_judge_and_embeddings_it_is_the_same(tmp_path: Path) -> None:
    """Scores and vectors that have a record are not bought again, and the same examples are dropped."""
    spec = {"judge": dataset_pb2.Judge(min_score=3), "semantic_duplicates": dataset_pb2.SemanticDuplicates()}
    async with llm(judged) as server:
        whole, begun = await uninterrupted(tmp_path / "whole", server, **spec)
        embedded = Counter(text for r in server.embeddings for text in r.body["input"])
        dataset, everything, answers = await interrupted(tmp_path / "killed", server, FEW_KILLS, **spec)
        asked = Counter(server.prompts[begun:])
        texts = Counter(text for r in server.embeddings for text in r.body["input"]) - embedded

    assert (state(dataset), balanced(dataset)) == ("SUCCEEDED", True)
    assert drops(dataset) == drops(whole)
    assert drops(dataset)["JUDGED_BELOW"] > 0
    assert dataset.versions[0].artifact.sha256 == whole.versions[0].artifact.sha256
    assert len(everything) == len({e.name for e in everything})
    assert set(asked) == set(server.prompts[:begun])
    assert (dataset.usage.calls, dataset.usage.judge_calls) == (begun, whole.usage.judge_calls)
    assert asked.total() - begun <= FEW_KILLS * AT_ONCE
    assert set(texts) == set(embedded)
    assert dataset.usage.embedded_texts == whole.usage.embedded_texts == embedded.total()
    assert texts.total() - embedded.total() <= FEW_KILLS * BATCH
    assert not answers


async def uninterrupted(state: Path, server: llm_server.LlmServer, **spec: Any) -> tuple[Any, int]:
    """Generate the dataset in peace; return it and the calls that it took."""
    async with dataset_service(state, server, library(FILES, CHUNKS)) as (stub, _):
        return await generated(stub, **spec), len(server.requests)


async def interrupted(
    state: Path, server: llm_server.LlmServer, kills: int = KILLS, **spec: Any
) -> tuple[Any, list[Any], list[str]]:
    """Generate it by a service that is killed at random moments.

    Returns: the dataset, its examples, and the prompts that were asked although their answers were recorded.
    """
    moments = random.Random(4)
    nats = NatsServer(state / "nats")
    await nats.start()
    bought_again: list[str] = []
    address = f"127.0.0.1:{free_ports(1)[0]}"
    try:
        for kill in range(kills + 1):
            known, before = recorded(state) if kill else set(), len(server.requests)
            process = dataset_process.start(state, nats.url, address, FILES, CHUNKS)
            try:
                async with channel_to(address) as channel:
                    stub: Any = dataset_service_pb2_grpc.DatasetServiceStub(channel)
                    if kill == 0:
                        await stub.CreateLlmEndpoint(endpoint(server, max_concurrency=AT_ONCE), wait_for_ready=True)
                        await stub.CreateDataset(wanted(**spec), wait_for_ready=True)
                    if kill == kills:
                        await channel.channel_ready()
                        return await ended(stub), await examples(stub, "*"), bought_again
                    enough = before + moments.randint(0, 12)
                    await until(lambda enough=enough: len(server.requests) >= enough)
                    await asyncio.sleep(moments.uniform(0, 0.08))
            finally:
                process.kill()
                await asyncio.to_thread(process.join)
                bought_again += [r.asked for r in server.requests[before:] if server.script(r).text in known]
    finally:
        await nats.stop()
    raise AssertionError


async def test_raw_text_whose_service_is_killed_in_the_middle_becomes_the_same_dataset(tmp_path: Path) -> None:
    """The same bytes as one that never was, and no row twice."""
    files, chunks = 3, 100
    async with dataset_service(tmp_path / "whole", ingest=library(files, chunks)) as (stub, _):
        whole = await generated(stub, task_type=dataset_pb2.TASK_TYPE_TEXT)
    nats = NatsServer(tmp_path / "nats")
    await nats.start()
    address = f"127.0.0.1:{free_ports(1)[0]}"
    try:
        process = dataset_process.start(tmp_path / "killed", nats.url, address, files, chunks)
        try:
            async with channel_to(address) as channel:
                stub: Any = dataset_service_pb2_grpc.DatasetServiceStub(channel)
                await stub.CreateDataset(wanted(task_type=dataset_pb2.TASK_TYPE_TEXT), wait_for_ready=True)
                stored = await _storing(stub)
        finally:
            process.kill()
            await asyncio.to_thread(process.join)
        process = dataset_process.start(tmp_path / "killed", nats.url, address, files, chunks)
        try:
            async with channel_to(address) as channel:
                await channel.channel_ready()
                stub = dataset_service_pb2_grpc.DatasetServiceStub(channel)
                dataset = await ended(stub)
                found = (
                    await stub.ListExamples(pb.ListExamplesRequest(parent=NAME, page_size=1000, filter="*"))
                ).examples
        finally:
            process.kill()
            await asyncio.to_thread(process.join)
    finally:
        await nats.stop()

    assert 0 < stored < files * chunks
    assert (state(dataset), dataset.work.attempt) == ("SUCCEEDED", 2)
    assert len({example.name for example in found}) == len(found) == files * chunks
    assert dataset.versions[0].artifact.sha256 == whole.versions[0].artifact.sha256


async def _storing(stub: Any) -> int:
    """Wait until some rows are stored; return how many."""
    async for update in stub.WatchDataset(pb.WatchDatasetRequest(name=NAME)):
        if update.dataset.work.progress.phase == "store":
            return int(update.dataset.work.progress.done)
    return 0
