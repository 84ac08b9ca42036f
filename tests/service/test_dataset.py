"""The dataset service over real gRPC: endpoints, previews, examples, versions, and what it refuses."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import grpc
import pytest

from finetuneflow.common.v1 import meta_pb2
from finetuneflow.dataset.v1 import dataset_pb2, example_pb2
from finetuneflow.dataset.v1 import dataset_service_pb2 as pb
from tests.fakes import llm_server as fake
from tests.fakes.datasets import (
    NAME,
    PROJECT,
    dataset_service,
    endpoint,
    examples,
    generated,
    rows,
    state,
    wanted,
)
from tests.fakes.ingest import library
from tests.fakes.llm_server import llm
from tests.fakes.running import refusal

INVALID = (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
ABSENT = (grpc.StatusCode.NOT_FOUND, "NOT_FOUND")


def update(name: str, *paths: str, etag: str = "", **fields: Any) -> pb.UpdateExampleRequest:
    """A change of an example."""
    request = pb.UpdateExampleRequest(example=example_pb2.Example(name=name, **fields))
    request.example.meta.etag = etag
    request.update_mask.paths.extend(paths)
    return request


@pytest.mark.parametrize(
    "spec",
    [
        {"examples_per_chunk": 21},
        {"examples_per_chunk": -1},
        {"max_examples": -5},
        {"eval_fraction": 0.95},
        {"recall_fraction": 0.6},
        {"temperature": 2.5},
        {"temperature": float("nan")},
        {"max_tokens": 8},
        {"system_prompt": "x" * 9000},
        {"files": ["files/f0"]},
        {"llm_endpoint": "fake"},
    ],
    ids=lambda spec: next(iter(spec)) + " " + repr(next(iter(spec.values())))[:10],
)
async def test_a_setting_out_of_range_is_refused(tmp_path: Path, spec: dict[str, Any]) -> None:
    """Before anything is recorded."""
    async with llm() as server, dataset_service(tmp_path, server) as (stub, _):
        assert await refusal(stub.CreateDataset(wanted(**spec))) == INVALID
        assert not (await stub.ListDatasets(pb.ListDatasetsRequest(parent=PROJECT))).datasets


async def test_what_a_dataset_needs_must_be_there(tmp_path: Path) -> None:
    """Project, file, chunks, endpoint: each missing one is told by its own reason."""
    documents = library(1)
    documents.files["projects/p/files/raw"] = []
    not_chunked = (grpc.StatusCode.FAILED_PRECONDITION, "NOT_CHUNKED")
    no_endpoint = (grpc.StatusCode.FAILED_PRECONDITION, "NO_LLM_ENDPOINT")
    async with llm() as server, dataset_service(tmp_path, ingest=documents) as (stub, _):
        assert await refusal(stub.CreateDataset(wanted())) == no_endpoint

        await stub.CreateLlmEndpoint(endpoint(server))
        elsewhere = pb.CreateDatasetRequest(parent="projects/q", dataset_id="d")
        assert await refusal(stub.CreateDataset(elsewhere)) == ABSENT
        assert await refusal(stub.CreateDataset(wanted(files=["projects/p/files/none"]))) == ABSENT
        assert await refusal(stub.CreateDataset(wanted(files=["projects/p/files/raw"]))) == not_chunked
        assert await refusal(stub.CreateDataset(wanted(llm_endpoint="llmEndpoints/none"))) == ABSENT

        await stub.CreateLlmEndpoint(endpoint(server, "second"))
        assert await refusal(stub.CreateDataset(wanted())) == no_endpoint

        documents.files = {"projects/p/files/raw": []}
        assert await refusal(stub.CreateDataset(wanted(llm_endpoint="llmEndpoints/fake"))) == not_chunked


async def test_defaults_are_filled_in(tmp_path: Path) -> None:
    """The dataset says what was used, not what was left out."""
    async with llm() as server, dataset_service(tmp_path, server) as (stub, _):
        spec = (await stub.CreateDataset(wanted())).spec

        assert (spec.examples_per_chunk, spec.max_tokens, spec.llm_endpoint) == (3, 512, "llmEndpoints/fake")
        assert (spec.eval_fraction, spec.recall_fraction) == (0.15, 0.1)
        assert spec.task_type == dataset_pb2.TASK_TYPE_QUESTION_ANSWER
        assert len(spec.files) == 3


async def test_a_fraction_of_zero_is_no_default(tmp_path: Path) -> None:
    """0 was said: nothing is held out, and the LLM is asked at temperature 0."""
    async with llm() as server, dataset_service(tmp_path, server) as (stub, _):
        dataset = await generated(stub, eval_fraction=0, recall_fraction=0, temperature=0)

        assert {line["split"] for line in await rows(stub)} == {"TRAIN"}
        assert dataset.versions[0].eval_examples == dataset.versions[0].recall_examples == 0
        assert {r.body["temperature"] for r in server.requests} == {0}


async def test_the_same_request_makes_one_dataset(tmp_path: Path) -> None:
    """A repeat returns the first answer, even when the documents are gone; another body is refused."""
    documents = library(2)
    async with llm() as server, dataset_service(tmp_path, server, documents) as (stub, _):
        first = await stub.CreateDataset(wanted("", "once"))
        documents.files = {}
        again = await stub.CreateDataset(wanted("", "once"))
        other = await refusal(stub.CreateDataset(wanted("", "once", seed=5)))

        assert first.name == again.name
        assert other == (grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_ID_REUSED")


async def test_examples_are_listed_by_page_and_filter(tmp_path: Path) -> None:
    """In the order of their chunks; by side, file, state and reason."""
    async with llm() as server, dataset_service(tmp_path, server, library(3)) as (stub, _):
        await generated(stub, eval_fraction=0.4)
        found = await examples(stub)
        held = await examples(stub, "split = EVAL")
        of_file = await examples(stub, 'file = "projects/p/files/f1" AND accepted = true')

        assert [e.chunk for e in found] == sorted(e.chunk for e in found)
        assert held
        assert {e.split for e in held} == {example_pb2.SPLIT_EVAL}
        assert len(of_file) == 6
        assert not await examples(stub, 'drop_reason = "DUPLICATE"')
        assert await refusal(stub.ListExamples(pb.ListExamplesRequest(parent=NAME, filter="colour = 3"))) == INVALID
        assert await refusal(stub.ListExamples(pb.ListExamplesRequest(parent=NAME, page_token="x"))) == INVALID
        assert await refusal(stub.ListExamples(pb.ListExamplesRequest(parent=NAME + "x"))) == ABSENT
        assert (await stub.GetExample(pb.GetExampleRequest(name=found[0].name))) == found[0]


async def test_an_edited_example_is_in_the_next_version_and_not_in_the_last(tmp_path: Path) -> None:
    """Frozen versions keep what they had; freezing without a change returns the version that there is."""
    async with llm() as server, dataset_service(tmp_path, server) as (stub, _):
        await generated(stub)
        one, two, three = (await examples(stub))[:3]
        edited = await stub.UpdateExample(update(one.name, prompt=" What is new? ", etag=one.meta.etag))
        rejected = await stub.UpdateExample(update(two.name, "accepted", accepted=False))
        await stub.DeleteExample(pb.DeleteExampleRequest(name=three.name))
        frozen = await stub.FreezeDataset(pb.FreezeDatasetRequest(name=NAME))
        again = await stub.FreezeDataset(pb.FreezeDatasetRequest(name=NAME))
        before, after = await rows(stub, version=1), await rows(stub)
        statistics = await stub.GetDatasetStatistics(pb.GetDatasetStatisticsRequest(name=NAME))

        assert (edited.prompt, edited.edited, edited.response) == ("What is new?", True, one.response)
        assert edited.meta.etag != one.meta.etag
        assert (rejected.drop_reason, rejected.split) == ("REJECTED_BY_REVIEW", example_pb2.SPLIT_UNSPECIFIED)
        assert (len(before), len(after)) == (18, 16)
        assert "What is new?" not in json.dumps(before)
        assert "What is new?" in json.dumps(after)
        assert [v.version for v in frozen.versions] == [v.version for v in again.versions] == [1, 2]
        assert statistics.accepted == 16
        assert sum(f.accepted for f in statistics.files) == 16
        assert statistics.prompt_characters.max >= statistics.prompt_characters.p50 > 0
        assert [e.name for e in await examples(stub, "edited = true AND accepted = true")] == [one.name]
        assert await refusal(stub.GetExample(pb.GetExampleRequest(name=three.name))) == ABSENT


async def test_a_dropped_example_may_be_taken_in_by_a_person(tmp_path: Path) -> None:
    """One with texts at once; one without only when it has got them."""
    script = fake.first(fake.garbage)
    async with llm(script) as server, dataset_service(tmp_path, server) as (stub, _):
        await generated(stub)
        (dropped,) = await examples(stub, "accepted = false")
        empty = await refusal(stub.UpdateExample(update(dropped.name, "accepted", accepted=True)))
        texts = {"prompt": "What does the Plover weigh?", "response": "3 kilograms."}
        taken = await stub.UpdateExample(update(dropped.name, *texts, "accepted", accepted=True, **texts))
        await stub.FreezeDataset(pb.FreezeDatasetRequest(name=NAME))

        assert empty == INVALID
        assert (taken.accepted, taken.drop_reason, taken.prompt) == (True, "", texts["prompt"])
        assert len(await rows(stub)) == 18


async def test_an_edit_that_cannot_be_is_refused(tmp_path: Path) -> None:
    """An old etag, another field, an empty or endless text."""
    async with llm() as server, dataset_service(tmp_path, server) as (stub, _):
        await generated(stub)
        name = (await examples(stub))[0].name
        old = update(name, prompt="What is new?", etag="old")

        assert await refusal(stub.UpdateExample(old)) == (grpc.StatusCode.ABORTED, "ETAG_MISMATCH")
        assert await refusal(stub.UpdateExample(update(name, "evidence", evidence="x"))) == INVALID
        assert await refusal(stub.UpdateExample(update(name, "prompt", prompt=" "))) == INVALID
        assert await refusal(stub.UpdateExample(update(name, "response", response="x" * 33_000))) == INVALID
        assert await refusal(stub.UpdateExample(update(name + "x", prompt="What is new?"))) == ABSENT


async def test_a_dataset_at_work_cannot_be_frozen_downloaded_or_resumed_twice(tmp_path: Path) -> None:
    """Before the end there is no version; after SUCCEEDED there is nothing to resume."""
    not_ready = (grpc.StatusCode.FAILED_PRECONDITION, "DATASET_NOT_READY")
    async with llm(fake.hang(0.1)) as server, dataset_service(tmp_path, server) as (stub, _):
        await stub.CreateDataset(wanted())
        while not server.requests:  # noqa: ASYNC110 - what is waited for is in a fake's plain list
            await asyncio.sleep(0.01)

        assert await refusal(stub.FreezeDataset(pb.FreezeDatasetRequest(name=NAME))) == not_ready
        assert await refusal(stub.DownloadDataset(pb.DownloadDatasetRequest(name=NAME))) == not_ready

        server.script = fake.good
        done = await generated(stub, "e")
        resume = pb.ResumeDatasetRequest(name=done.name)
        missing = pb.DownloadDatasetRequest(name=done.name, version=2)
        ended = (grpc.StatusCode.FAILED_PRECONDITION, "WORK_ENDED")

        assert await refusal(stub.ResumeDataset(resume)) == ended
        assert await refusal(stub.DownloadDataset(missing)) == ABSENT
        assert state(await stub.CancelDataset(pb.CancelDatasetRequest(name=done.name))) == "SUCCEEDED"


async def test_names_of_another_form_are_refused(tmp_path: Path) -> None:
    """A wrong name is the request's fault, not a missing resource."""
    async with dataset_service(tmp_path) as (stub, _):
        assert await refusal(stub.GetDataset(pb.GetDatasetRequest(name="d"))) == INVALID
        assert await refusal(stub.GetExample(pb.GetExampleRequest(name=NAME))) == INVALID
        assert await refusal(stub.GetLlmEndpoint(pb.GetLlmEndpointRequest(name="../etc"))) == INVALID
        assert await refusal(stub.WatchDataset(pb.WatchDatasetRequest(name=""))) == INVALID
        assert await refusal(stub.WatchDataset(pb.WatchDatasetRequest(name=NAME))) == ABSENT


async def test_labels_and_a_display_name_are_kept(tmp_path: Path) -> None:
    """What users write on a dataset comes back as it was."""
    async with llm() as server, dataset_service(tmp_path, server) as (stub, _):
        request = wanted()
        request.dataset.display_name = "First try"
        request.dataset.meta.CopyFrom(meta_pb2.Meta(labels={"team": "docs"}, annotations={"why": "a test"}))
        made = await stub.CreateDataset(request)

        assert made.display_name == "First try"
        assert (dict(made.meta.labels), dict(made.meta.annotations)) == ({"team": "docs"}, {"why": "a test"})
        assert made.meta.creator == "tester"
