"""Calls that the LLM's server refuses: those about one chunk, and all of them."""

from __future__ import annotations

import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import grpc
import pytest

from finetuneflow.dataset.v1 import dataset_pb2, ledger_pb2
from finetuneflow.dataset.v1 import dataset_service_pb2 as pb
from services.dataset.core.budget import most_prompt_tokens
from tests.fakes import llm_server as fake
from tests.fakes.datasets import (
    NAME,
    balanced,
    dataset_service,
    drops,
    ended,
    endpoint,
    examples,
    generated,
    reason,
    state,
)
from tests.fakes.ingest import library
from tests.fakes.llm_server import Answer, Request, llm


@pytest.mark.parametrize("code", [400, 413, 422])
async def test_a_call_that_is_refused_for_good_costs_its_examples_and_not_the_dataset(
    tmp_path: Path, code: int
) -> None:
    """As where one chunk is longer than the model's context: the first one here, before anything was answered."""

    def short(request: Request) -> Answer:
        return fake.status(code)(request) if "Plover" in request.asked else fake.good(request)

    async with llm(short) as server, dataset_service(tmp_path, server, library(4)) as (stub, _):
        dataset = await generated(stub)
        dropped = [e for e in await examples(stub, "*") if e.drop_reason]
        ledger = await stub.GetLedger(ledger_pb2.GetLedgerRequest(name=NAME))

    assert state(dataset) == "SUCCEEDED"
    # A passage of the second file's chunk comes twice: mark 7 is a Plover barometer too.
    assert drops(dataset) == {"CALL_REFUSED": 6}
    assert dataset.counts[-1].out == dataset.usage.calls == 24 - 6
    assert balanced(dataset)
    assert {e.drop_reason for e in dropped} == {"CALL_REFUSED"}
    assert all(f"status {code}" in e.drop_detail for e in dropped)
    assert "CALL_REFUSED" in str(ledger)


async def test_a_server_that_refuses_every_call_pauses_the_dataset(tmp_path: Path) -> None:
    """It is no matter of the chunks; when the server takes calls again, nothing is missing."""
    async with llm(fake.status(400)) as server, dataset_service(tmp_path, server, library(6)) as (stub, _):
        paused = await generated(stub)
        kept = await examples(stub, "*")
        server.script = fake.good
        await stub.ResumeDataset(pb.ResumeDatasetRequest(name=NAME))
        dataset = await ended(stub)

    assert (state(paused), reason(paused)) == ("PAUSED", "LLM_UNAVAILABLE")
    assert "status 400" in paused.work.error.message
    assert "ftf dataset resume" in paused.work.error.message
    assert not kept
    assert (state(dataset), dataset.counts[-1].out, drops(dataset)) == ("SUCCEEDED", 36, {})


@pytest.mark.parametrize(
    "failing", [fake.status(500), lambda r: Answer(raw=b'{"choices": []}')], ids=["status 500", "no choice"]
)
async def test_a_call_that_fails_each_time_costs_its_example_and_not_the_dataset(
    tmp_path: Path, failing: fake.Script
) -> None:
    """The server answers all others, so it is not away."""
    broken = {"seed": 0}

    def script(request: Request) -> Answer:
        if not broken["seed"] and "Plover" in request.asked:
            broken["seed"] = request.body["seed"]
        return failing(request) if request.body.get("seed") == broken["seed"] else fake.good(request)

    async with llm(script) as server, dataset_service(tmp_path, server, library(4)) as (stub, _):
        dataset = await generated(stub)
        dropped = [e for e in await examples(stub, "*") if e.drop_reason]
        ledger = await stub.GetLedger(ledger_pb2.GetLedgerRequest(name=NAME))

    assert state(dataset) == "SUCCEEDED", dataset.work.error
    assert drops(dataset) == {"CALL_REFUSED": 1}
    assert dataset.counts[-1].out == 24 - 1
    assert balanced(dataset)
    # Five where another was answered just before the last of them.
    assert re.search(r"[56] times in a row\. It answers other calls", dropped[0].drop_detail)
    assert dropped[0].name in str(ledger)


async def test_calls_that_fail_are_told_from_a_server_that_is_away_where_no_other_is_in_flight(tmp_path: Path) -> None:
    """All calls of the last chunk fail, one after the other: a call of a few words tells that the server is there."""

    def script(request: Request) -> Answer:
        return fake.status(500)(request) if "Plover" in request.asked else fake.good(request)

    async with llm(script) as server, dataset_service(tmp_path, None, library(2, 1)) as (stub, _):
        await stub.CreateLlmEndpoint(endpoint(server, max_concurrency=1, json_mode="JSON_MODE_TEXT"))
        dataset = await generated(stub, examples_per_chunk=1)

    assert state(dataset) == "SUCCEEDED", dataset.work.error
    assert (drops(dataset), dataset.counts[-1].out) == ({"CALL_REFUSED": 1}, 1)
    assert server.prompts.count(fake.PROBED) == 1


async def test_a_server_that_is_back_at_the_last_moment_costs_no_example(tmp_path: Path) -> None:
    """The call that failed is made once more when the call of a few words is answered."""
    back: list[bool] = []

    def script(request: Request) -> Answer:
        back.extend([True] * (request.asked == fake.PROBED))
        return fake.good(request) if back else fake.status(500)(request)

    async with llm(script) as server, dataset_service(tmp_path, None, library(2)) as (stub, _):
        await stub.CreateLlmEndpoint(endpoint(server, max_concurrency=1, json_mode="JSON_MODE_TEXT"))
        dataset = await generated(stub)

    assert state(dataset) == "SUCCEEDED", dataset.work.error
    assert (drops(dataset), dataset.counts[-1].out) == ({}, 12)
    assert back == [True]


async def test_a_server_that_fails_at_every_call_pauses_the_dataset(tmp_path: Path) -> None:
    """It is away; when it is back, nothing is missing."""
    async with llm(fake.status(500)) as server, dataset_service(tmp_path, server, library(2)) as (stub, _):
        paused = await generated(stub)
        kept = await examples(stub, "*")
        server.script = fake.good
        await stub.ResumeDataset(pb.ResumeDatasetRequest(name=NAME))
        dataset = await ended(stub)

    assert (state(paused), reason(paused)) == ("PAUSED", "LLM_UNAVAILABLE")
    assert "status 500, 5 times in a row. Check its URL" in paused.work.error.message
    assert not kept
    assert (state(dataset), dataset.counts[-1].out, drops(dataset)) == ("SUCCEEDED", 12, {})


async def test_what_was_refused_is_asked_again_when_the_dataset_is_resumed(tmp_path: Path) -> None:
    """Its server may have been given more context meanwhile."""

    def then_wrong_key(request: Request) -> Answer:
        if "Plover" in request.asked:
            return fake.status(400)(request)
        return fake.good(request) if "Wren" in request.asked else fake.status(401)(request)

    async with llm(then_wrong_key) as server, dataset_service(tmp_path, server, library(3)) as (stub, _):
        paused = await generated(stub)
        server.script = fake.good
        await stub.ResumeDataset(pb.ResumeDatasetRequest(name=NAME))
        dataset = await ended(stub)

    assert (state(paused), drops(paused).get("CALL_REFUSED")) == ("PAUSED", 3)
    assert (state(dataset), dataset.counts[-1].out, drops(dataset)) == ("SUCCEEDED", 18, {})


async def test_a_preview_without_its_llm_says_what_to_do_about_a_preview(tmp_path: Path) -> None:
    """There is nothing to resume."""
    async with llm(fake.status(401)) as server, dataset_service(tmp_path, server) as (stub, _):
        spec = dataset_pb2.DatasetSpec()
        request = pb.PreviewExamplesRequest(parent="projects/p", spec=spec)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.PreviewExamples(request)

    told = caught.value.details() or ""
    assert "Check its URL, model and key" in told
    assert "resume" not in told


async def test_a_call_that_ran_into_its_time_limit_counts_the_most_that_its_prompt_can_be(tmp_path: Path) -> None:
    """The server may have read it, and ask money for it; the record keeps it over restarts."""
    async with llm(fake.first(fake.hang(5))) as server, dataset_service(tmp_path, None, library(1, 1)) as (stub, _):
        await stub.CreateLlmEndpoint(endpoint(server, timeout_seconds=1, max_concurrency=1, json_mode="JSON_MODE_TEXT"))
        dataset = await generated(stub)
        most = most_prompt_tokens(server.requests[0].body["messages"])
    assert state(dataset) == "SUCCEEDED", dataset.work.error
    with closing(sqlite3.connect(tmp_path / "documents" / "dataset.db")) as store:
        calls = [json.loads(body) for (body,) in store.execute("SELECT body FROM c_calls")]
    charged = sorted(call["charged"][0] for call in calls)
    assert state(dataset) == "SUCCEEDED", dataset.work.error
    assert charged == [100, 100, 100 + most]
