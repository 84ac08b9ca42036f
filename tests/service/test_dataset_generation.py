"""Generation over real gRPC and real HTTP: counted, exactly once, and the same however often it is interrupted."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

from finetuneflow.dataset.v1 import dataset_pb2
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
    learnt,
    reason,
    rows,
    state,
    wanted,
)
from tests.fakes.ingest import Ingest, library, text
from tests.fakes.llm_server import Answer, Request, llm


async def test_documents_become_a_frozen_dataset(tmp_path: Path) -> None:
    """Each passage is one call and one example with its evidence; the version is a hashed file of messages."""
    async with llm() as server, dataset_service(tmp_path, server) as (stub, _):
        dataset = await generated(stub, eval_fraction=0.3, recall_fraction=0.2, system_prompt="Be brief.")
        version = dataset.versions[0]
        lines = await rows(stub)
        parts = [p.data async for p in stub.DownloadDataset(pb.DownloadDatasetRequest(name=NAME))]

        assert state(dataset) == "SUCCEEDED"
        assert balanced(dataset)
        assert [(c.stage, c.out) for c in dataset.counts] == [
            ("chunks", 6),
            ("calls", 18),
            ("replies", 18),
            ("examples", 18),
        ]
        assert (dataset.usage.calls, dataset.usage.prompt_tokens, len(server.requests)) == (18, 1800, 18)
        assert (dataset.work.progress.done, dataset.work.progress.total) == (18, 18)
        assert version.version == 1
        assert version.artifact.sha256 == hashlib.sha256(b"".join(parts)).hexdigest()
        assert version.artifact.size_bytes == len(b"".join(parts))
        assert len(lines) == version.train_examples + version.eval_examples + version.recall_examples == 18
        assert version.eval_examples > 0
        assert version.recall_examples > 0
        assert [m["role"] for m in lines[0]["messages"]] == ["system", "user", "assistant"]
        assert dataset.spec.files == ["projects/p/files/f0", "projects/p/files/f1", "projects/p/files/f2"]


async def test_an_example_names_the_words_that_it_rests_on(tmp_path: Path) -> None:
    """Evidence, its span of the extracted text, its place, its chunk, its file, its prompt and its LLM."""
    async with llm() as server, dataset_service(tmp_path, server) as (stub, _):
        await generated(stub)
        found = [e for e in await examples(stub) if e.chunk == "projects/p/files/f1/chunks/c1"]
        example = found[0]
        offset = len(text(2)) + 2

        assert len(found) == 3
        assert example.evidence == text(3)[: len(example.evidence)]
        assert (example.evidence_span.start, example.evidence_span.end) == (offset, offset + len(example.evidence))
        assert list(example.place.headings) == ["Manual", "Part 1"]
        assert example.place.paragraph == 2
        assert (example.file_display_name, example.prompt_version) == ("f1.md", "question-answer/1")
        assert example.llm == f"llmEndpoints/fake {fake.MODEL}"
        assert example.reply_tokens == 20
        assert example.accepted


async def test_documents_are_held_out_whole(tmp_path: Path) -> None:
    """No file has examples on both sides; the same documents are split alike in the next dataset."""
    async with llm() as server, dataset_service(tmp_path, server, library(6)) as (stub, _):
        await generated(stub, "d", eval_fraction=0.3)
        await generated(stub, "e", eval_fraction=0.3)
        first, second = await rows(stub), await rows(stub, "projects/p/datasets/e")
        held = {line["source"]["file"] for line in first if line["split"] == "EVAL"}

        assert held
        assert not held & {line["source"]["file"] for line in first if line["split"] != "EVAL"}
        assert learnt(first) == learnt(second)


async def test_instructions_are_made_in_the_same_way(tmp_path: Path) -> None:
    """The other task type has its own prompt."""
    async with llm() as server, dataset_service(tmp_path, server) as (stub, _):
        dataset = await generated(stub, task_type=dataset_pb2.TASK_TYPE_INSTRUCTION)
        found = await examples(stub)

        assert state(dataset) == "SUCCEEDED"
        assert {e.prompt_version for e in found} == {"instruction/1"}
        assert not [e for e in found if e.prompt.endswith("?")]


async def test_it_stops_at_the_wanted_number(tmp_path: Path) -> None:
    """Not one example more than asked for, and of all documents; what was not called is counted."""
    async with llm() as server, dataset_service(tmp_path, server, library(5)) as (stub, _):
        dataset = await generated(stub, max_examples=7)

        found = await examples(stub)

        assert len(found) == len(server.requests) == 7
        assert len({e.file_display_name for e in found}) == 5
        assert drops(dataset) == {"LIMIT_REACHED": 23}
        assert balanced(dataset)


async def test_bad_replies_are_dropped_with_their_reason_and_counted(tmp_path: Path) -> None:
    """Every second reply is garbage of a kind; the others are kept, and the sums hold."""
    kinds = [fake.garbage, fake.wrong_schema, fake.truncated, lambda r: Answer("<think>so</think>")]

    def script(request: Request) -> Answer:
        digest = hashlib.sha256(request.asked.encode()).digest()[0]
        return kinds[digest // 2 % 4](request) if digest % 2 else fake.fenced(request)

    async with llm(script) as server, dataset_service(tmp_path, server, library(8)) as (stub, _):
        dataset = await generated(stub)
        everything = await examples(stub, "*")
        statistics = await stub.GetDatasetStatistics(pb.GetDatasetStatisticsRequest(name=NAME))

        assert balanced(dataset)
        assert set(drops(dataset)) == {"INVALID_JSON", "INVALID_SCHEMA", "TRUNCATED", "EMPTY_REPLY"}
        assert len(everything) == 48
        assert statistics.accepted + sum(d.count for d in statistics.dropped) == 48
        assert {d.reason: d.count for d in statistics.dropped} == drops(dataset)
        assert all(e.drop_detail and not e.prompt for e in everything if not e.accepted)


async def test_doubles_are_kept_once(tmp_path: Path) -> None:
    """Two documents with the same text give each question twice: the later one is a DUPLICATE of the first."""
    same = Ingest({f"projects/p/files/f{n}": [text(1)] for n in range(2)})
    async with llm() as server, dataset_service(tmp_path, server, same) as (stub, _):
        dataset = await generated(stub)

        assert drops(dataset) == {"DUPLICATE": 3}
        assert {e.file_display_name for e in await examples(stub)} == {"f0.md"}


async def test_a_dataset_without_an_accepted_example_fails_and_says_why(tmp_path: Path) -> None:
    """No empty dataset: the message has the drops by reason; nothing is frozen."""
    async with llm(fake.garbage) as server, dataset_service(tmp_path, server) as (stub, _):
        dataset = await generated(stub)

        assert state(dataset) == "FAILED"
        assert reason(dataset) == "NO_ACCEPTED_EXAMPLES"
        assert "INVALID_JSON 18" in dataset.work.error.message
        assert not dataset.versions
        assert balanced(dataset)
        assert len(await examples(stub, "*")) == 18


async def test_chunks_without_a_sentence_are_counted_and_told(tmp_path: Path) -> None:
    """A document of headings and tables gives no call, and no silence either."""
    bare = Ingest({"projects/p/files/f0": ["# Title", "| a | b |\n|---|---|"]})
    async with llm() as server, dataset_service(tmp_path, server, bare) as (stub, _):
        dataset = await generated(stub)

        assert reason(dataset) == "NO_ACCEPTED_EXAMPLES"
        assert "No chunk has a sentence" in dataset.work.error.message
        assert drops(dataset) == {"NO_PASSAGE": 2}
        assert not server.requests


async def test_an_llm_that_goes_away_pauses_the_dataset_and_resume_goes_on(tmp_path: Path) -> None:
    """Everything answered is kept; what is kept is not asked again."""
    async with llm() as server, dataset_service(tmp_path, server) as (stub, _):
        server.script = lambda r: fake.good(r) if r.number < 8 else fake.status(401)(r)
        dataset = await generated(stub)
        answered = set(server.prompts[:8])

        assert (state(dataset), reason(dataset)) == ("PAUSED", "LLM_UNAVAILABLE")
        assert "resume" in dataset.work.error.message
        assert len(await examples(stub)) == dataset.counts[-1].out <= 8
        assert balanced(dataset)

        server.script, before = fake.good, len(server.requests)
        resumed = await stub.ResumeDataset(pb.ResumeDatasetRequest(name=NAME))
        dataset = await ended(stub)

        assert state(resumed) == "QUEUED"
        assert state(dataset) == "SUCCEEDED"
        assert not answered & set(server.prompts[before:])
        assert len(server.requests) - before == 18 - 8
        assert dataset.usage.calls == 18
        assert balanced(dataset)
        assert len(await rows(stub)) == 18


async def test_replies_that_come_in_another_order_make_the_same_dataset(tmp_path: Path) -> None:
    """Doubles are told by the plan's order, not by which call was faster."""

    def uneven(request: Request) -> Answer:
        return Answer(fake.good(request).text, hang=0.04 if len(request.asked) % 2 else 0)

    same = Ingest({f"projects/p/files/f{n}": [text(n % 2, 6), text(n, 6)] for n in range(4)})
    async with llm() as server, dataset_service(tmp_path, server, same) as (stub, _):
        await generated(stub, "even", examples_per_chunk=6)
        server.script = uneven
        dataset = await generated(stub, examples_per_chunk=6)

        assert drops(dataset)["DUPLICATE"] > 0
        assert learnt(await rows(stub)) == learnt(await rows(stub, "projects/p/datasets/even"))


async def test_the_endpoints_limit_holds_over_datasets(tmp_path: Path) -> None:
    """Two datasets at once share the calls that an endpoint allows."""
    async with llm(fake.hang(0.02)) as server, dataset_service(tmp_path, server, library(4)) as (stub, _):
        await stub.CreateLlmEndpoint(endpoint(server, "slow", max_concurrency=2))
        for id in ("d", "e"):
            await stub.CreateDataset(wanted(id, llm_endpoint="llmEndpoints/slow"))
        await asyncio.gather(ended(stub), ended(stub, "projects/p/datasets/e"))

        assert server.most_at_once == 2
