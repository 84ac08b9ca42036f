"""The dataset service over real gRPC: endpoints, previews, examples, versions, and what it refuses."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import sqlite3
from pathlib import Path
from typing import Any

import grpc
import pytest

from finetuneflow.common.v1 import event_pb2, meta_pb2
from finetuneflow.dataset.v1 import dataset_pb2, example_pb2, llm_endpoint_pb2
from finetuneflow.dataset.v1 import dataset_service_pb2 as pb
from services.common.bus import Bus
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
from tests.fakes.ingest import Ingest, library, text
from tests.fakes.llm_server import llm
from tests.fakes.running import refusal

KEY = "sk-very-secret-0123456789"
INVALID = (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
ABSENT = (grpc.StatusCode.NOT_FOUND, "NOT_FOUND")


def update(name: str, *paths: str, etag: str = "", **fields: Any) -> pb.UpdateExampleRequest:
    """A change of an example."""
    request = pb.UpdateExampleRequest(example=example_pb2.Example(name=name, **fields))
    request.example.meta.etag = etag
    request.update_mask.paths.extend(paths)
    return request


async def listed(stub: Any) -> list[str]:
    """The names of the project's datasets."""
    return [d.name for d in (await stub.ListDatasets(pb.ListDatasetsRequest(parent=PROJECT))).datasets]


async def refused(call: Any) -> bool:
    """Whether a call finds its name taken."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        if error.code() is not grpc.StatusCode.ALREADY_EXISTS:
            raise
        return True
    return False


async def delete_project(bus: Bus, project: str) -> None:
    """Tell that a project was deleted, as ingest does."""
    event = event_pb2.Event(id=project, type="project.deleted", resource=project)
    await bus.publish("ftf.events.project.deleted", event.SerializeToString())


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


def documents_of(state: Path, uid: str) -> int:
    """How many documents of the service's database tell of a dataset: itself, its calls, its examples."""
    with contextlib.closing(sqlite3.connect(state / "documents" / "dataset.db")) as database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        bodies = [
            body
            for table in tables
            if table != "meta" and not table.startswith("sqlite_")
            for (body,) in database.execute(f'SELECT body FROM "{table}"')
        ]
    return sum(uid in body for body in bodies)


async def test_a_deleted_dataset_takes_its_examples_calls_and_files_along(tmp_path: Path) -> None:
    """Also while it is being generated; the name is free again afterwards."""
    async with llm(fake.hang(0.01)) as server, dataset_service(tmp_path, server, library(8)) as (stub, _):
        done = await generated(stub)
        busy = await stub.CreateDataset(wanted("busy"))
        before = len(server.requests)
        while len(server.requests) < before + 9:  # noqa: ASYNC110 - what is waited for is in a fake's plain list
            await asyncio.sleep(0.01)
        objects = tmp_path / "objects" / "datasets"
        assert list(objects.rglob("*.jsonl"))
        assert documents_of(tmp_path, done.meta.uid) > 90

        for name in (NAME, busy.name):
            await stub.DeleteDataset(pb.DeleteDatasetRequest(name=name))

        assert await refusal(stub.GetDataset(pb.GetDatasetRequest(name=NAME))) == ABSENT
        assert await refusal(stub.ListExamples(pb.ListExamplesRequest(parent=NAME))) == ABSENT
        async with asyncio.timeout(20):
            while list(objects.rglob("*.jsonl")):  # noqa: ASYNC110 - nothing tells when a file is gone
                await asyncio.sleep(0.05)
            while documents_of(tmp_path, done.meta.uid) + documents_of(tmp_path, busy.meta.uid):  # noqa: ASYNC110 - nor a row
                await asyncio.sleep(0.05)
            while await refused(stub.CreateDataset(wanted())):  # noqa: ASYNC110 - nor when a name is free
                await asyncio.sleep(0.05)


async def test_datasets_of_a_deleted_project_are_deleted(tmp_path: Path) -> None:
    """Told by the event; another project's stay; an event that comes twice does no harm."""
    async with llm() as server, dataset_service(tmp_path, server) as (stub, served):
        await generated(stub)
        bus = await Bus.connect(served.config.nats)
        await delete_project(bus, "projects/other")
        assert await listed(stub)

        for _ in range(2):
            await delete_project(bus, PROJECT)
        async with asyncio.timeout(20):
            while await listed(stub):  # noqa: ASYNC110 - nothing tells when an event was seen
                await asyncio.sleep(0.05)

        await bus.close()
        assert await refusal(stub.GetDataset(pb.GetDatasetRequest(name=NAME))) == ABSENT


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
