"""LLM endpoints and their keys, and previews, over real gRPC and real HTTP."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import grpc
import pytest

from finetuneflow.dataset.v1 import dataset_pb2, llm_endpoint_pb2
from finetuneflow.dataset.v1 import dataset_service_pb2 as pb
from tests.fakes import llm_server as fake
from tests.fakes.datasets import (
    PROJECT,
    dataset_service,
    endpoint,
    generated,
    wanted,
)
from tests.fakes.ingest import Ingest, library, text
from tests.fakes.llm_server import llm
from tests.fakes.running import refusal
from tests.service.test_dataset import INVALID

KEY = "sk-very-secret-0123456789"


async def test_a_key_goes_to_the_llm_and_nowhere_else(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """No answer, no log line, no document and no error holds it; the one file that does is its owner's alone."""
    caplog.set_level(logging.DEBUG)
    async with llm() as server, dataset_service(tmp_path) as (stub, _):
        answers = [await stub.CreateLlmEndpoint(endpoint(server, api_key=f" {KEY}\n"))]
        answers.append(await stub.GetLlmEndpoint(pb.GetLlmEndpointRequest(name="llmEndpoints/fake")))
        answers.append(await stub.ListLlmEndpoints(pb.ListLlmEndpointsRequest()))
        answers.append(await generated(stub))
        server.script = lambda r: fake.Answer(status=402, raw=f"{KEY} has no credit".encode())
        failed = await generated(stub, "e")
        answers.append(failed)
        folder = tmp_path
        holding = [p for p in folder.rglob("*") if p.is_file() and KEY.encode() in p.read_bytes()]

        assert {r.headers["authorization"] for r in server.requests} == {f"Bearer {KEY}"}
        assert answers[0].has_api_key
        assert "*** has no credit" in failed.work.error.message
        assert KEY not in repr(answers)
        assert KEY not in caplog.text
        assert len(holding) == 1
        assert holding[0].stat().st_mode & 0o777 == 0o600

        await stub.DeleteLlmEndpoint(pb.DeleteLlmEndpointRequest(name="llmEndpoints/fake"))

        assert not holding[0].exists()


@pytest.mark.parametrize(
    "fields",
    [
        {"base_url": ""},
        {"base_url": "ftp://example.com/v1"},
        {"base_url": "http://"},
        {"base_url": "file:///etc/passwd"},
        {"base_url": "http://user:secret@example.com/v1"},
        {"base_url": "http://example.com/v1?key=secret"},
        {"model": ""},
        {"max_concurrency": 257},
        {"max_concurrency": -1},
        {"timeout_seconds": 3601},
        {"id": "Not An Id"},
        {"api_key": "two\nlines"},
        {"api_key": "schlüssel"},
    ],
    ids=lambda fields: next(iter(fields)) + " " + repr(next(iter(fields.values())))[:20],
)
async def test_an_endpoint_that_cannot_work_is_refused(tmp_path: Path, fields: dict[str, Any]) -> None:
    """The message names the field and never shows a secret."""
    async with llm() as server, dataset_service(tmp_path) as (stub, _):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.CreateLlmEndpoint(endpoint(server, **fields))

        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert "secret" not in str(caught.value.details())
        assert "lines" not in str(caught.value.details())
        assert not (await stub.ListLlmEndpoints(pb.ListLlmEndpointsRequest())).llm_endpoints


async def test_an_endpoint_gets_its_defaults_and_is_made_once(tmp_path: Path) -> None:
    """A repeat returns the first; another request under the name is refused; /chat/completions is cut off."""
    async with llm() as server, dataset_service(tmp_path) as (stub, _):
        request = endpoint(server, base_url=server.url + "/chat/completions/", max_concurrency=0, timeout_seconds=0)
        first, again = await stub.CreateLlmEndpoint(request), await stub.CreateLlmEndpoint(request)
        request.request_id = "another"

        assert first == again
        assert (first.base_url, first.max_concurrency, first.timeout_seconds) == (server.url, 4, 120)
        assert first.json_mode == llm_endpoint_pb2.JSON_MODE_UNSPECIFIED
        assert not first.has_api_key
        assert await refusal(stub.CreateLlmEndpoint(request)) == (grpc.StatusCode.ALREADY_EXISTS, "ALREADY_EXISTS")


async def test_a_preview_makes_a_few_examples_and_keeps_nothing(tmp_path: Path) -> None:
    """At once, spread over the documents, dropped ones with their reason; no dataset, no example comes of it."""
    script = fake.first(fake.good, fake.garbage)
    async with llm(script) as server, dataset_service(tmp_path, server, library(4)) as (stub, _):
        spec = dataset_pb2.DatasetSpec()
        found = await stub.PreviewExamples(pb.PreviewExamplesRequest(parent=PROJECT, spec=spec, calls=4))

        assert sorted(e.drop_reason for e in found.examples) == ["", "", "", "INVALID_JSON"]
        assert len({e.chunk.split("/")[3] for e in found.examples}) == 4
        assert [e.name for e in found.examples] == [""] * 4
        assert all(e.evidence and e.prompt_version for e in found.examples if e.accepted)
        assert (found.usage.calls, found.usage.completion_tokens) == (4, 80)
        assert not (await stub.ListDatasets(pb.ListDatasetsRequest(parent=PROJECT))).datasets


async def test_the_estimate_of_a_first_dataset_knows_what_a_preview_took(tmp_path: Path) -> None:
    """Tokens and time, until a dataset has been measured; an endpoint made anew knows nothing of the old one's."""
    request, asked = wanted(), pb.PreviewExamplesRequest(parent=PROJECT, calls=4)
    request.validate_only = True
    async with llm() as server, dataset_service(tmp_path, server, library(8)) as (stub, _):
        guessed = (await stub.CreateDataset(request)).estimate
        used = [(await stub.PreviewExamples(asked)).usage for _ in range(12)]
        known = (await stub.CreateDataset(request)).estimate
        first = await generated(stub)
        request.dataset_id = "e"
        measured = (await stub.CreateDataset(request)).estimate
        await stub.DeleteLlmEndpoint(pb.DeleteLlmEndpointRequest(name="llmEndpoints/fake"))
        await stub.CreateLlmEndpoint(endpoint(server, id="again"))
        anew = (await stub.CreateDataset(request)).estimate

    assert (guessed.measured_calls, guessed.seconds.high, guessed.completion_tokens.high) == (0, 0, 48 * 512)
    assert known.measured_calls == sum(usage.calls for usage in used[2:]) == 40
    assert 0 < known.seconds.low < known.seconds.high
    assert known.completion_tokens.low < first.usage.completion_tokens < known.completion_tokens.high
    assert known.completion_tokens.high < guessed.completion_tokens.high / 2
    assert first.estimate == known
    assert measured.measured_calls == first.usage.calls
    assert anew == guessed


async def test_a_dataset_says_where_its_llm_may_take_more_at_once(tmp_path: Path) -> None:
    """Four at once were reached and nothing refused; of 64 at once the same calls say nothing."""
    async with llm(fake.hang(0.01)) as server, dataset_service(tmp_path, server, library(8)) as (stub, _):
        first = await generated(stub)
        await stub.CreateLlmEndpoint(endpoint(server, id="wide", max_concurrency=64))
        second = await generated(stub, "e", llm_endpoint="llmEndpoints/wide")

    assert (first.usage.held_back, second.usage.held_back) == (True, False)
    assert (first.usage.calls, second.usage.calls) == (48, 48)


async def test_a_preview_of_one_small_file_makes_no_call_twice(tmp_path: Path) -> None:
    """Where there are fewer passages than calls wanted, each is asked about once."""
    one = Ingest({"projects/p/files/f0": [text(0, 2)]})
    async with llm() as server, dataset_service(tmp_path, server, one) as (stub, _):
        found = await stub.PreviewExamples(pb.PreviewExamplesRequest(parent=PROJECT, calls=10))

        assert len(found.examples) == len(set(server.prompts)) == len(server.prompts) == 2


async def test_a_preview_without_an_llm_says_so(tmp_path: Path) -> None:
    """UNAVAILABLE, with the endpoint's address."""
    async with llm(fake.status(401)) as server, dataset_service(tmp_path, server) as (stub, _):
        answer = await refusal(stub.PreviewExamples(pb.PreviewExamplesRequest(parent=PROJECT)))
        too_many = await refusal(stub.PreviewExamples(pb.PreviewExamplesRequest(parent=PROJECT, calls=11)))

        assert answer == (grpc.StatusCode.UNAVAILABLE, "LLM_UNAVAILABLE")
        assert too_many == INVALID
