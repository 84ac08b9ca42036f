"""Task types over real gRPC and real HTTP: each one's examples, what drops them, and how they are frozen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import grpc
import pytest

from finetuneflow.dataset.v1 import dataset_pb2, example_pb2
from finetuneflow.dataset.v1 import dataset_service_pb2 as pb
from tests.fakes import llm_server as fake
from tests.fakes.datasets import (
    PROJECT,
    balanced,
    dataset_service,
    drops,
    examples,
    generated,
    rows,
    state,
    wanted,
)
from tests.fakes.ingest import Ingest, library
from tests.fakes.llm_server import Answer, Request, llm
from tests.fakes.running import refusal

INVALID = (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
FIELDS = json.dumps({"type": "object", "properties": {"weight": {"type": "string"}, "year": {"type": "string"}}})
TASKS: dict[str, dict[str, Any]] = {
    "chat": {"task_type": dataset_pb2.TASK_TYPE_CHAT},
    "summary": {"task_type": dataset_pb2.TASK_TYPE_SUMMARY},
    "classification": {"task_type": dataset_pb2.TASK_TYPE_CLASSIFICATION, "labels": ["size", "history", "care"]},
    "extraction": {"task_type": dataset_pb2.TASK_TYPE_EXTRACTION, "extraction_schema": FIELDS},
    "reasoning": {"task_type": dataset_pb2.TASK_TYPE_REASONING},
}


def spoilt(**fields: Any) -> fake.Script:
    """The good reply with some fields changed."""
    return lambda request: Answer(json.dumps({**fake.good_reply(request), **fields}))


@pytest.mark.parametrize("name", TASKS)
async def test_each_task_type_becomes_a_frozen_dataset(tmp_path: Path, name: str) -> None:
    """Its examples name template, task, evidence and chunk; each line of the frozen file ends with an answer."""
    async with llm() as server, dataset_service(tmp_path, server) as (stub, _):
        dataset = await generated(stub, **TASKS[name])
        found = await examples(stub, "*")
        lines = await rows(stub)

        assert [(e.drop_reason, e.drop_detail) for e in found if not e.accepted] == []
        assert state(dataset) == "SUCCEEDED"
        assert balanced(dataset)
        assert dataset.spec.template == f"promptTemplates/{name}/versions/1"
        assert {(e.task_type, e.prompt_version) for e in found} == {(name, f"{name}/1")}
        assert all(e.evidence and e.chunk and e.prompt and e.response for e in found)
        assert {line["task_type"] for line in lines} == {name}
        assert all(line["messages"][-1]["role"] == "assistant" for line in lines)
        assert all(line["messages"][0]["content"] for line in lines)


async def test_a_conversation_has_every_turn(tmp_path: Path) -> None:
    """The example has the whole conversation, and so has its line; prompt and response are its ends."""
    async with llm() as server, dataset_service(tmp_path, server) as (stub, _):
        await generated(stub, system_prompt="Be brief.", **TASKS["chat"])
        example = (await examples(stub))[0]
        line = next(line for line in await rows(stub) if line["id"] == example.name)

        assert [m.role for m in example.messages] == ["user", "assistant"] * 4
        assert (example.prompt, example.response) == (example.messages[0].content, example.messages[-1].content)
        assert [m["role"] for m in line["messages"]] == ["system", *["user", "assistant"] * 4]
        assert line["messages"][3]["content"] == example.messages[2].content


@pytest.mark.parametrize("included", [False, True])
async def test_reasoning_is_kept_apart_unless_it_is_asked_for(tmp_path: Path, included: bool) -> None:
    """A field of its own on the example and its line; in the answer only with include_reasoning, in tags."""
    async with llm() as server, dataset_service(tmp_path, server) as (stub, _):
        await generated(stub, include_reasoning=included, **TASKS["reasoning"])
        example = (await examples(stub))[0]
        line = next(line for line in await rows(stub) if line["id"] == example.name)
        answer = line["messages"][-1]["content"]

        assert line["reasoning"] == example.reasoning != ""
        assert answer == (f"<think>\n{example.reasoning}\n</think>\n\n" if included else "") + example.response
        assert example.reasoning not in example.response


@pytest.mark.parametrize(
    ("name", "fields", "reason"),
    [
        ("chat", {"turns": [{"user": "Who won the cup?", "assistant": "Norway won it in 1823."}] * 2}, "REPEATED_TURN"),
        ("chat", {"evidence": "Nobody ever wrote this."}, "EVIDENCE_NOT_FOUND"),
        ("summary", {"summary": "The Plover barometer weighs 999 kilograms."}, "ANSWER_NOT_GROUNDED"),
        ("summary", {"summary": "It is printed under its left foot. " * 12}, "NOT_SHORTER"),
        ("classification", {"label": "weather"}, "WRONG_LABEL"),
        ("extraction", {"found": {"weight": "a hundred tons"}}, "VALUE_NOT_FOUND"),
        ("extraction", {"found": {"weight": ""}}, "NOTHING_EXTRACTED"),
        ("reasoning", {"reasoning": "So."}, "NO_REASONING"),
        (
            "reasoning",
            {"reasoning": "Bananas ripen faster beside apples, as everybody knows."},
            "REASONING_NOT_GROUNDED",
        ),
    ],
)
async def test_what_is_wrong_with_a_reply_drops_it_with_a_reason(
    tmp_path: Path, name: str, fields: dict[str, Any], reason: str
) -> None:
    """Each task type has its own checks, and nothing that one objects to is kept."""
    async with llm(spoilt(**fields)) as server, dataset_service(tmp_path, server, library(1)) as (stub, _):
        dataset = await generated(stub, **TASKS[name])

        assert set(drops(dataset)) == {reason}
        assert balanced(dataset)


async def test_kinds_of_question_come_by_turn(tmp_path: Path) -> None:
    """Each call asks for the next kind, and the example says which; sentences are asked about once for each."""
    kinds = [example_pb2.QUESTION_TYPE_WHY, example_pb2.QUESTION_TYPE_HOW, example_pb2.QUESTION_TYPE_COMPARE]
    async with llm() as server, dataset_service(tmp_path, server) as (stub, _):
        dataset = await generated(stub, question_types=kinds)
        found = await examples(stub, "*")

        assert state(dataset) == "SUCCEEDED"
        assert [e.question_type for e in found] == kinds * 6
        assert {e.prompt_version for e in found} == {"question-types/1"}
        assert sum("Kind: why. Ask why" in prompt for prompt in server.prompts) == 6
        assert len(set(server.prompts)) == 18


async def test_a_comparison_rests_on_all_the_sentences_that_it_is_about(tmp_path: Path) -> None:
    """Its facts stand in two of them, the evidence holds both, and other facts are not grounded."""
    words = "The ferry Alma carries 88 cars. The ferry Berta carries 40 cars and leaves at noon."
    reply = {
        "question": "How do the ferries Alma and Berta differ in the number of cars that they carry?",
        "evidence": "The ferry Alma carries 88 cars.",
        "answer": "The ferry Alma carries 88 cars, and the ferry Berta carries 40 cars.",
    }
    false = {**reply, "answer": "The ferry Alma carries 88 cars, and the ferry Berta carries 50 cars."}

    def script(request: Request) -> Answer:
        return Answer(json.dumps(false if request.number else reply))

    ferries = Ingest({f"projects/p/files/f{n}": [words] for n in range(2)})
    async with llm(script) as server, dataset_service(tmp_path, server, ferries) as (stub, _):
        dataset = await generated(stub, question_types=[example_pb2.QUESTION_TYPE_COMPARE])
        found = await examples(stub)

        assert [e.evidence for e in found] == [words]
        assert drops(dataset) == {"ANSWER_NOT_GROUNDED": 1}


async def test_what_the_document_does_not_tell_has_the_configured_response(tmp_path: Path) -> None:
    """It passes the checks that drop refusals; a question that a sentence answers is dropped as ANSWERABLE."""

    def script(request: Request) -> Answer:
        answerable = {"question": "How many kilograms does the Plover barometer weigh when it is empty?"}
        return spoilt(**(answerable if "Plover" in request.asked else {}))(request)

    async with llm(script) as server, dataset_service(tmp_path, server) as (stub, _):
        kinds = [example_pb2.QUESTION_TYPE_UNANSWERABLE]
        dataset = await generated(stub, question_types=kinds, refusal_response="I do not know.")
        found = await examples(stub)

        assert drops(dataset) == {"ANSWERABLE": 1}
        assert len(found) == 5
        assert {e.response for e in found} == {"I do not know."}
        assert all(e.evidence for e in found)


async def test_personas_come_by_turn(tmp_path: Path) -> None:
    """Each call names the next one, and the example says which."""
    personas = ["a new colleague", "an auditor of few words"]
    async with llm() as server, dataset_service(tmp_path, server) as (stub, _):
        await generated(stub, personas=personas)
        found = await examples(stub, "*")

        assert [e.persona for e in found] == personas * 9
        assert all(e.accepted for e in found)
        assert sum(prompt.endswith(f"say it: {personas[0]}") for prompt in server.prompts) == 9


@pytest.mark.parametrize(
    "spec",
    [
        {"task_type": dataset_pb2.TASK_TYPE_CLASSIFICATION},
        {"task_type": dataset_pb2.TASK_TYPE_CLASSIFICATION, "labels": ["one"]},
        {"task_type": dataset_pb2.TASK_TYPE_CLASSIFICATION, "labels": ["one", "One"]},
        {"labels": ["one", "two"]},
        {"task_type": dataset_pb2.TASK_TYPE_EXTRACTION},
        {"task_type": dataset_pb2.TASK_TYPE_EXTRACTION, "extraction_schema": '{"type": "string"}'},
        {"task_type": dataset_pb2.TASK_TYPE_EXTRACTION, "extraction_schema": "{"},
        {"task_type": dataset_pb2.TASK_TYPE_CHAT, "question_types": [1]},
        {"question_types": [1, 1]},
        {"question_types": [77]},
        {"task_type": dataset_pb2.TASK_TYPE_TEMPLATE},
        {"task_type": 77},
        {"language": "tlh"},
        {"personas": [""]},
        {"personas": ["x" * 301]},
        {"task_type": dataset_pb2.TASK_TYPE_CHAT, "template": "promptTemplates/summary"},
        {"template": "summary"},
        {"refusal_response": "x" * 501},
    ],
    ids=str,
)
async def test_settings_that_do_not_fit_are_refused(tmp_path: Path, spec: dict[str, Any]) -> None:
    """Before anything is recorded, with the field and the remedy."""
    async with llm() as server, dataset_service(tmp_path, server, library(1)) as (stub, _):
        assert await refusal(stub.CreateDataset(wanted(**spec))) == INVALID


async def test_a_preview_shows_conversations_and_reasoning(tmp_path: Path) -> None:
    """The same as generation, and nothing is kept."""
    async with llm() as server, dataset_service(tmp_path, server) as (stub, _):
        made = []
        for name in ("chat", "reasoning"):
            spec = dataset_pb2.DatasetSpec(**TASKS[name])
            made.append(await stub.PreviewExamples(pb.PreviewExamplesRequest(parent=PROJECT, spec=spec)))

        assert len(made[0].examples[0].messages) == 8
        assert made[1].examples[0].reasoning
        assert all(e.accepted for found in made for e in found.examples)


async def test_an_edited_conversation_is_read_and_frozen_as_it_was_edited(tmp_path: Path) -> None:
    """Prompt and response are its first question and its last answer; a long prompt may be edited too."""
    async with llm() as server, dataset_service(tmp_path, server, library(1)) as (stub, _):
        await generated(stub, **TASKS["chat"])
        name = (await examples(stub))[0].name
        changed = example_pb2.Example(name=name, prompt="What is it? " * 100, response="A barometer.")
        edited = await stub.UpdateExample(pb.UpdateExampleRequest(example=changed))
        await stub.FreezeDataset(pb.FreezeDatasetRequest(name=f"{PROJECT}/datasets/d"))
        line = next(line for line in await rows(stub) if line["id"] == name)

        assert (edited.messages[0].content, edited.messages[-1].content) == (changed.prompt.strip(), "A barometer.")
        assert [m["content"] for m in line["messages"]] == [m.content for m in edited.messages]
        assert len(await examples(stub, 'task_type = "chat" AND language = ""')) == 2


LONG_LABELS = [f"{name} of machines and tools, as the manual's chapter on it tells them" for name in (
    "size", "history", "care", "price", "marks", "repair", "storage", "transport", "safety", "energy", "noise", "use",
)]  # fmt: skip
LONG_FIELDS = {
    "type": "object",
    "properties": {
        f"value_{n}": {"type": "string", "description": f"The number {n} of the text. " * 8} for n in range(6)
    },
}


@pytest.mark.parametrize(
    "spec",
    [
        {"task_type": dataset_pb2.TASK_TYPE_CLASSIFICATION, "labels": LONG_LABELS},
        {"task_type": dataset_pb2.TASK_TYPE_EXTRACTION, "extraction_schema": json.dumps(LONG_FIELDS)},
    ],
    ids=["classification", "extraction"],
)
async def test_texts_are_told_apart_whatever_else_stands_in_every_prompt(tmp_path: Path, spec: dict[str, Any]) -> None:
    """Short texts under the same long labels or schema are no doubles, and do not hang together in the split."""
    async with llm() as server, dataset_service(tmp_path, server, library(6, sentences=2)) as (stub, _):
        dataset = await generated(stub, eval_fraction=0.4, recall_fraction=0.0, **spec)
        lines = await rows(stub)

    assert drops(dataset) == {}
    assert {line["split"] for line in lines} == {"TRAIN", "EVAL"}


async def test_labels_that_are_missing_are_told_with_their_flag(tmp_path: Path) -> None:
    """A field's name alone is of no use at a command line."""
    async with llm() as server, dataset_service(tmp_path, server, library(1)) as (stub, _):
        with pytest.raises(grpc.aio.AioRpcError, match=r"labels has 0\. Give 2 to 50 different ones: --labels"):
            await stub.CreateDataset(wanted(task_type=dataset_pb2.TASK_TYPE_CLASSIFICATION))
