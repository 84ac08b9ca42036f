"""Datasets that pause: by hand, and when their LLM is away."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

from finetuneflow.common.v1 import waiting_pb2
from finetuneflow.dataset.v1 import dataset_service_pb2 as pb
from tests.fakes import llm_server as fake
from tests.fakes.datasets import (
    NAME,
    balanced,
    dataset_service,
    ended,
    examples,
    generated,
    learnt,
    reason,
    rows,
    state,
    until,
    wanted,
)
from tests.fakes.ingest import library
from tests.fakes.llm_server import llm


async def test_a_dataset_paused_by_hand_keeps_everything_and_goes_on_when_resumed(tmp_path: Path) -> None:
    """No call is made while it is paused; none that was answered is made again; the result is the same."""
    async with llm(fake.hang(0.05)) as server, dataset_service(tmp_path, server, library(6)) as (stub, _):
        await generated(stub, "whole")
        begun = len(server.requests)
        await stub.CreateDataset(wanted())
        await until(lambda: len(server.requests) >= begun + 12)
        asked = await stub.PauseDataset(pb.PauseDatasetRequest(name=NAME))
        paused = await ended(stub)
        made, kept = len(server.requests), len(await examples(stub, "*"))
        again = await stub.PauseDataset(pb.PauseDatasetRequest(name=NAME))

        assert state(asked) == "PAUSING"
        assert state(paused) == state(again) == "PAUSED"
        assert not paused.work.HasField("error")
        assert not paused.work.HasField("end_time")
        assert balanced(paused)
        assert 0 < kept < 36

        await stub.ResumeDataset(pb.ResumeDatasetRequest(name=NAME))
        dataset = await ended(stub)

        assert state(dataset) == "SUCCEEDED"
        assert dataset.usage.calls == 36
        # Calls in flight are given up when it pauses: at most max_concurrency of them are made again.
        assert 36 <= len(server.requests) - begun <= 36 + 4
        assert made < len(server.requests)
        assert learnt(await rows(stub)) == learnt(await rows(stub, "projects/p/datasets/whole"))


async def test_a_paused_dataset_can_be_frozen_as_it_is_and_cancelled(tmp_path: Path) -> None:
    """What is there can be used; whoever does not want more says so."""
    some = fake.first(*[fake.good] * 8, then=fake.status(401))
    async with llm(some) as server, dataset_service(tmp_path, server) as (stub, _):
        paused = await generated(stub)
        frozen = await stub.FreezeDataset(pb.FreezeDatasetRequest(name=NAME))
        cancelled = await stub.CancelDataset(pb.CancelDatasetRequest(name=NAME))

        assert (state(paused), reason(paused)) == ("PAUSED", "LLM_UNAVAILABLE")
        assert len(frozen.versions) == 1
        assert state(cancelled) == "CANCELLED"


async def test_a_dataset_says_at_once_that_its_llm_is_away_and_until_when_it_is_asked(tmp_path: Path) -> None:
    """Long before it gives up; when the LLM answers again, that is over."""
    patient = {"llm_patience_seconds": "600"}
    async with llm(fake.status(503)) as server, dataset_service(tmp_path, server, settings=patient) as (stub, _):
        await stub.CreateDataset(wanted())
        seen = []
        async with asyncio.timeout(60):
            async for update in stub.WatchDataset(pb.WatchDatasetRequest(name=NAME)):
                work = update.dataset.work
                seen.append(work.waiting.reason)
                if work.HasField("waiting"):
                    message = work.waiting.message
                    server.script = fake.good

    assert waiting_pb2.WAITING_REASON_LLM_AWAY in seen
    assert re.search(r"^The LLM at http://.* gave status 503. .* until about \d\d:\d\d:\d\d UTC; ", message)
    assert seen[-1] == waiting_pb2.WAITING_REASON_UNSPECIFIED


async def test_an_endpoint_that_was_deleted_pauses_its_dataset(tmp_path: Path) -> None:
    """It is made again, and the dataset goes on."""
    async with llm(fake.hang(0.05)) as server, dataset_service(tmp_path, server, library(4)) as (stub, _):
        await stub.CreateDataset(wanted())
        await until(lambda: len(server.requests) >= 6)
        await stub.DeleteLlmEndpoint(pb.DeleteLlmEndpointRequest(name="llmEndpoints/fake"))
        dataset = await ended(stub)

        assert (state(dataset), reason(dataset)) == ("PAUSED", "LLM_UNAVAILABLE")
