"""Examples that say the same in other words, found by embeddings, over real gRPC and real HTTP."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import grpc
import pytest

from finetuneflow.dataset.v1 import dataset_pb2, ledger_pb2, statistics_pb2
from finetuneflow.dataset.v1 import dataset_service_pb2 as pb
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
    wanted,
)
from tests.fakes.ingest import Ingest, library, text
from tests.fakes.llm_server import LlmServer, llm

SEMANTIC = dataset_pb2.SemanticDuplicates()
AGAIN = (
    "When it is empty the Plover barometer weighs 3 kilograms. In 1950 the Plover barometer was first sold. "
    "The Kestrel pump costs 300 crowns without tax."
)


def told_twice() -> Ingest:
    """Two files of which the second tells two facts of the first in another order of words, and one of its own."""
    return Ingest({"projects/p/files/f0": [text(0)], "projects/p/files/f1": [AGAIN]})


def texts(server: LlmServer) -> Counter[str]:
    """How often each text was embedded."""
    return Counter(one for request in server.embeddings for one in request.body["input"])


async def test_what_says_the_same_as_an_earlier_example_is_dropped_and_names_it(tmp_path: Path) -> None:
    """Nearness by letters lets it pass; what is its own stays. Texts are embedded once, and counted with their cost."""
    async with llm() as server, dataset_service(tmp_path, server, told_twice()) as (stub, _):
        await stub.CreateLlmEndpoint(endpoint(server, "vectors", model="bag", prompt_price=3))
        without = await generated(stub, "e", llm_endpoint="llmEndpoints/fake", examples_per_chunk=4)
        semantic = dataset_pb2.SemanticDuplicates(llm_endpoint="llmEndpoints/vectors", threshold=0.8)
        spec = {"llm_endpoint": "llmEndpoints/fake", "examples_per_chunk": 4, "semantic_duplicates": semantic}
        dataset = await generated(stub, **spec)
        everything = await examples(stub, "*")
        alike = await examples(stub, "drop_reason = SEMANTIC_DUPLICATE AND scores.likeness >= 0.8")
        found = await stub.GetDatasetStatistics(pb.GetDatasetStatisticsRequest(name=NAME))

    by_id = {e.name.rpartition("/")[2]: e for e in everything}
    assert drops(without) == {}
    assert (dataset.spec.semantic_duplicates.model, dataset.usage.embedded_texts) == ("bag", 7)
    assert drops(dataset) == {"SEMANTIC_DUPLICATE": 2}
    assert balanced(dataset)
    assert {(e.response[:5], by_id[e.drop_detail].response[-9:]) for e in alike} == {
        ("When ", "is empty."),
        ("In 19", " in 1950."),
    }
    assert all(by_id[e.drop_detail].accepted and "f0" in by_id[e.drop_detail].chunk for e in alike)
    assert found.duplicates == 2
    assert set(texts(server).values()) == {1}
    assert {r.body["model"] for r in server.embeddings} == {"bag"}
    assert dataset.usage.calls == 7
    assert dataset.usage.prompt_tokens == 7 * 100 + 7 * 10
    assert dataset.usage.cost == pytest.approx(7 * 10 * 3 / 1e6)


async def test_texts_are_embedded_in_batches(tmp_path: Path) -> None:
    """While one batch is on its way the next one gathers; an answer without token counts is charged by its bytes."""

    def slow(request: fake.Request) -> fake.Answer:
        return fake.Answer(raw=fake.embed(request).raw.replace(b"prompt_tokens", b"x"), hang=0.1)

    async with llm() as server, dataset_service(tmp_path, server, library(20)) as (stub, _):
        server.embedding_script = slow
        dataset = await generated(stub, semantic_duplicates=SEMANTIC)

    sizes = [len(r.body["input"]) for r in server.embeddings]
    assert sum(sizes) == dataset.usage.embedded_texts > 100
    assert 3 * len(sizes) < sum(sizes)
    assert max(sizes) <= 32


async def test_a_dataset_whose_embeddings_are_away_is_paused_and_goes_on_as_it_would_have(tmp_path: Path) -> None:
    """The same bytes and drops as without the interruption, and no text embedded twice."""
    spec = {"semantic_duplicates": dataset_pb2.SemanticDuplicates(threshold=0.8), "examples_per_chunk": 4}
    async with llm() as server, dataset_service(tmp_path / "whole", server, told_twice()) as (stub, _):
        whole = await generated(stub, **spec)
    async with llm() as server, dataset_service(tmp_path / "cut", server, told_twice()) as (stub, _):
        server.embedding_script = fake.first(fake.embed, then=fake.status(404))
        paused = await generated(stub, **spec)
        refused = server.embeddings[1:]
        server.embedding_script = fake.embed
        await stub.ResumeDataset(pb.ResumeDatasetRequest(name=NAME))
        dataset = await ended(stub)
        bought = texts(server) - Counter(one for request in refused for one in request.body["input"])

    assert (state(paused), reason(paused), state(dataset)) == ("PAUSED", "LLM_UNAVAILABLE", "SUCCEEDED")
    assert dataset.versions[0].artifact.sha256 == whole.versions[0].artifact.sha256
    assert drops(dataset) == drops(whole) == {"SEMANTIC_DUPLICATE": 2}
    assert len(server.requests) == dataset.usage.calls == whole.usage.calls
    assert set(bought.values()) == {1}
    assert bought.total() == dataset.usage.embedded_texts == whole.usage.embedded_texts


@pytest.mark.parametrize("code", [400, 413, 422])
async def test_a_text_that_is_refused_for_good_costs_its_comparison_and_not_the_dataset(
    tmp_path: Path, code: int
) -> None:
    """As where one is too long for the model: it is kept, flagged, counted and named; the others are compared."""

    def short(request: fake.Request) -> fake.Answer:
        refused = any("first sold" in one for one in request.body["input"])
        return fake.status(code)(request) if refused else fake.embed(request)

    spec = {"semantic_duplicates": dataset_pb2.SemanticDuplicates(threshold=0.8), "examples_per_chunk": 4}
    async with llm() as server, dataset_service(tmp_path, server, told_twice()) as (stub, _):
        server.embedding_script = short
        dataset = await generated(stub, **spec)
        kept = await examples(stub, "flag = UNCOMPARED AND accepted = true")
        ledger = (await stub.GetLedger(ledger_pb2.GetLedgerRequest(name=NAME))).steps
        request = statistics_pb2.MakeDatasetReportRequest(name=NAME)
        report = b"".join([part.data async for part in stub.MakeDatasetReport(request) if part.filename == "report.md"])

    assert (state(dataset), balanced(dataset), drops(dataset)) == ("SUCCEEDED", True, {"SEMANTIC_DUPLICATE": 1})
    assert dict(dataset.flags) == {"UNCOMPARED": 2}
    assert len(kept) == 2
    assert all("first sold" in e.response + e.prompt for e in kept)
    checks = next(step for step in ledger if step.step == "checks")
    assert {part.name: part.count for part in checks.parts} == {"compared": 4, "uncompared": 2}
    assert "| UNCOMPARED | 2 |" in report.decode()


async def test_a_server_that_refuses_every_text_pauses_the_dataset(tmp_path: Path) -> None:
    """It is no matter of the texts; when it takes them again, each is compared."""
    async with llm() as server, dataset_service(tmp_path, server, library(6)) as (stub, _):
        server.embedding_script = fake.status(400)
        paused = await generated(stub, semantic_duplicates=SEMANTIC)
        kept = await examples(stub, "*")
        server.embedding_script = fake.embed
        await stub.ResumeDataset(pb.ResumeDatasetRequest(name=NAME))
        dataset = await ended(stub)

    assert (state(paused), reason(paused), len(kept)) == ("PAUSED", "LLM_UNAVAILABLE", 0)
    assert (state(dataset), dict(dataset.flags), dataset.usage.embedded_texts) == ("SUCCEEDED", {}, 36)


async def test_an_answer_without_vectors_counts_as_away(tmp_path: Path) -> None:
    """A server that answers something else is asked again, then the dataset is paused."""
    async with llm() as server, dataset_service(tmp_path, server, library(1, 1)) as (stub, _):
        server.embedding_script = fake.garbage
        paused = await generated(stub, semantic_duplicates=SEMANTIC)

    assert (state(paused), reason(paused)) == ("PAUSED", "LLM_UNAVAILABLE")
    assert "embeddings" in paused.work.error.message


async def test_a_budget_that_ends_at_the_embeddings_leaves_no_example_half_made(tmp_path: Path) -> None:
    """What could not be compared is not stored, and counted by the budget's name; nothing is passed."""
    async with llm() as server, dataset_service(tmp_path, server, library(6)) as (stub, _):
        dataset = await generated(stub, semantic_duplicates=SEMANTIC, max_tokens=64, max_tokens_total=5000)
        everything = await examples(stub, "*")

    usage = dataset.usage
    assert (state(dataset), dataset.stop_reason, balanced(dataset)) == ("SUCCEEDED", "MAX_TOKENS_TOTAL", True)
    assert usage.prompt_tokens + usage.completion_tokens <= 5000
    assert drops(dataset)["MAX_TOKENS_TOTAL"] == 36 - len(everything) > 0
    assert usage.embedded_texts >= dataset.counts[-1].out > 0


async def test_an_estimate_has_the_texts_and_a_preview_drops_what_is_the_same(tmp_path: Path) -> None:
    """Guessed at first, then from what was measured."""
    async with llm() as server, dataset_service(tmp_path, server, told_twice()) as (stub, _):
        request = wanted("", semantic_duplicates=SEMANTIC, examples_per_chunk=4)
        request.validate_only = True
        guessed = (await stub.CreateDataset(request)).estimate
        await generated(stub, semantic_duplicates=SEMANTIC, examples_per_chunk=4)
        measured = (await stub.CreateDataset(request)).estimate
        semantic = dataset_pb2.SemanticDuplicates(threshold=0.8)
        spec = dataset_pb2.DatasetSpec(semantic_duplicates=semantic, examples_per_chunk=4)
        shown = await stub.PreviewExamples(pb.PreviewExamplesRequest(parent="projects/p", spec=spec, calls=8))

    assert (guessed.embedded_texts.low, guessed.embedded_texts.high) == (3.5, 7)
    assert measured.embedded_texts.low <= 7 <= measured.embedded_texts.high
    assert measured.calls.high == 7
    assert measured.measured_calls == 7
    assert shown.usage.embedded_texts == 7
    assert sum(e.drop_reason == "SEMANTIC_DUPLICATE" for e in shown.examples) == 2


async def test_a_threshold_out_of_range_is_refused(tmp_path: Path) -> None:
    """The message says the range."""
    async with llm() as server, dataset_service(tmp_path, server) as (stub, _):
        with pytest.raises(grpc.aio.AioRpcError, match=r"use 0\.5 to 1") as error:
            await stub.CreateDataset(wanted(semantic_duplicates={"threshold": 0.2}))

        assert error.value.code() == grpc.StatusCode.INVALID_ARGUMENT
