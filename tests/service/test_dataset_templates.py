"""Prompt templates over real gRPC: versions that never change, what is refused, and task types made of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import grpc
import pytest

from finetuneflow.dataset.v1 import dataset_pb2, prompt_template_pb2
from finetuneflow.dataset.v1 import dataset_service_pb2 as pb
from tests.fakes.datasets import PROJECT, balanced, dataset_service, drops, ended, examples, generated, rows, state
from tests.fakes.ingest import library
from tests.fakes.llm_server import Answer, Request, llm
from tests.fakes.running import refusal

INVALID = (grpc.StatusCode.INVALID_ARGUMENT, "TEMPLATE_INVALID")
BUILT_IN = (grpc.StatusCode.FAILED_PRECONDITION, "TEMPLATE_BUILT_IN")
ABSENT = (grpc.StatusCode.NOT_FOUND, "NOT_FOUND")
TEXT = """## system
You write a term of the text and what it means, in {language}.

## user
Text: The lid is closed.

## assistant
{"term": "lid", "meaning": "what closes a vessel", "quote": "The lid is closed.", "rank": 1}

## user
About: {topic}
For: {persona}
Text: {passage}
"""
PROPERTIES: dict[str, Any] = {
    "term": {"type": "string"},
    "meaning": {"type": "string"},
    "quote": {"type": "string"},
    "rank": {"type": "integer"},
}
MAPPING = {"prompt": "term", "response": "meaning", "evidence": "quote"}


def schema(properties: dict[str, Any] = PROPERTIES, **more: Any) -> str:
    """The schema of a reply."""
    return json.dumps({"type": "object", "properties": properties, "required": list(properties), **more})


def template(
    text: str = TEXT, reply_schema: str = "", mapping: dict[str, str] | None = None, **fields: Any
) -> prompt_template_pb2.PromptTemplate:
    """A template that works, but for what a test changes."""
    return prompt_template_pb2.PromptTemplate(
        text=text,
        reply_schema=reply_schema or schema(),
        mapping=prompt_template_pb2.ReplyMapping(**(MAPPING if mapping is None else mapping)),
        **fields,
    )


def create(id: str = "glossary", request_id: str = "", **fields: Any) -> pb.CreatePromptTemplateRequest:
    """A request for a template."""
    return pb.CreatePromptTemplateRequest(
        prompt_template=template(**fields), prompt_template_id=id, request_id=request_id
    )


def glossary(request: Request) -> Answer:
    """A good reply to the template."""
    passage = request.asked.rpartition("Text: ")[2]
    return Answer(json.dumps({"term": " ".join(passage.split()[:5]), "meaning": passage, "quote": passage, "rank": 1}))


async def listed(stub: Any, size: int = 2) -> list[str]:
    """The names of all versions, in pages that have no more than was asked for."""
    found, token = [], ""
    while True:
        page = await stub.ListPromptTemplates(pb.ListPromptTemplatesRequest(page_size=size, page_token=token))
        assert len(page.prompt_templates) <= size
        found += [t.name for t in page.prompt_templates]
        token = page.next_page_token
        if not token:
            return found


async def test_a_template_and_a_schema_make_a_task_type(tmp_path: Path) -> None:
    """Previewed, generated, checked and frozen like any other, with its name and version on each example."""
    async with llm(glossary) as server, dataset_service(tmp_path, server) as (stub, _):
        made = await stub.CreatePromptTemplate(create())
        spec = dataset_pb2.DatasetSpec(template="promptTemplates/glossary", language="en", personas=["a cook"])
        preview = await stub.PreviewExamples(pb.PreviewExamplesRequest(parent=PROJECT, spec=spec))
        dataset = await generated(stub, template=made.name)
        found = await examples(stub, "*")
        lines = await rows(stub)

        assert all(e.accepted for e in preview.examples)
        assert server.requests[0].body["messages"][0]["content"].endswith("in English.")
        assert "For: a cook" in server.prompts[0]
        assert (state(dataset), balanced(dataset), drops(dataset)) == ("SUCCEEDED", True, {})
        assert (dataset.spec.template, dataset.spec.task_type) == (made.name, dataset_pb2.TASK_TYPE_TEMPLATE)
        assert {(e.prompt_version, e.task_type) for e in found} == {("glossary/1", "glossary")}
        assert all(e.evidence in e.response and e.evidence_span.end for e in found)
        assert {line["task_type"] for line in lines} == {"glossary"}
        assert not [p for p in server.prompts[3:] if "For:" in p]


async def test_a_conversation_and_reasoning_can_be_mapped(tmp_path: Path) -> None:
    """Turns become a conversation; reasoning stays apart; a prompt may be a text of the template's own."""
    turns = {"type": "array", "items": {"type": "object", "properties": {"user": {}, "assistant": {}}}}

    def script(request: Request) -> Answer:
        passage = request.asked.rpartition("Text: ")[2]
        said = [{"user": f"What of {passage[:-1]}?", "assistant": passage}]
        return Answer(json.dumps({"talk": said} if "talk" in request.body["messages"][0]["content"] else {
            "thought": f"It says so: {passage}", "number": len(passage)
        }))  # fmt: skip

    async with llm(script) as server, dataset_service(tmp_path, server, library(1)) as (stub, _):
        talk = TEXT.replace("{language}", "talk")
        await stub.CreatePromptTemplate(
            create("talk", text=talk, reply_schema=schema({"talk": turns}), mapping={"turns": "talk"})
        )
        await stub.CreatePromptTemplate(
            create(
                "count",
                reply_schema=schema({"thought": {"type": "string"}, "number": {"type": "integer"}}),
                mapping={"prompt_text": "How long is: {passage}", "response": "number", "reasoning": "thought"},
                grounding=prompt_template_pb2.GROUNDING_NONE,
            )
        )
        await generated(stub, "a", template="promptTemplates/talk")
        await generated(stub, "b", template="promptTemplates/count")
        talked = await examples(stub, name=f"{PROJECT}/datasets/a")
        counted = await examples(stub, name=f"{PROJECT}/datasets/b")

        assert [len(e.messages) for e in talked] == [2] * 6
        assert all(e.prompt == f"How long is: {e.evidence}" for e in counted)
        assert all(e.response == str(len(e.evidence)) for e in counted)
        assert all(e.reasoning.endswith(e.evidence) for e in counted)


async def test_versions_never_change(tmp_path: Path) -> None:
    """A changed text is the next version, the same one no new one, and a deleted one's number is not used again."""
    async with dataset_service(tmp_path) as (stub, _):
        first = await stub.CreatePromptTemplate(create(request_id="r"))
        repeated = await stub.CreatePromptTemplate(create(request_id="r"))
        same = await stub.CreatePromptTemplate(create())
        second = await stub.CreatePromptTemplate(create(text=TEXT + "\nMore."))
        await stub.DeletePromptTemplate(pb.DeletePromptTemplateRequest(name=second.name))
        newest = await stub.GetPromptTemplate(pb.GetPromptTemplateRequest(name="promptTemplates/glossary"))
        third = await stub.CreatePromptTemplate(create(text=TEXT + "\nMore."))

        assert first == repeated == same == newest
        assert (first.version, second.version, third.version) == (1, 2, 3)
        assert await refusal(stub.GetPromptTemplate(pb.GetPromptTemplateRequest(name=second.name))) == ABSENT
        assert await refusal(stub.CreatePromptTemplate(create(request_id="r", text=TEXT + "\nOther."))) == (
            grpc.StatusCode.INVALID_ARGUMENT,
            "REQUEST_ID_REUSED",
        )
        assert (await listed(stub))[-2:] == [first.name, third.name]

        await stub.DeletePromptTemplate(pb.DeletePromptTemplateRequest(name="promptTemplates/glossary"))

        assert not [name for name in await listed(stub) if "glossary" in name]


async def test_a_dataset_keeps_to_its_version(tmp_path: Path) -> None:
    """Neither a newer version nor its deletion changes what a resumed dataset asks."""
    async with llm(lambda r: Answer(status=401, raw=b"no")) as server, dataset_service(tmp_path, server) as (stub, _):
        await stub.CreatePromptTemplate(create())
        await generated(stub, template="promptTemplates/glossary")
        await stub.CreatePromptTemplate(create(text=TEXT.replace("About", "Over")))
        await stub.DeletePromptTemplate(pb.DeletePromptTemplateRequest(name="promptTemplates/glossary"))
        server.script, before = glossary, len(server.requests)
        await stub.ResumeDataset(pb.ResumeDatasetRequest(name=f"{PROJECT}/datasets/d"))
        dataset = await ended(stub)

        assert state(dataset) == "SUCCEEDED"
        assert all(prompt.startswith("About: ") for prompt in server.prompts[before:])
        assert {e.prompt_version for e in await examples(stub)} == {"glossary/1"}


async def test_templates_of_the_service_and_of_users_are_listed_in_pages_of_any_size(tmp_path: Path) -> None:
    """Each once and in one order, also where a page ends with the last one of the service; a bad token is refused."""
    async with dataset_service(tmp_path) as (stub, _):
        alone = [await listed(stub, size) for size in (1, 4, 8, 100)]
        for name in ("a", "b", "c"):
            await stub.CreatePromptTemplate(create(name))
        found = [await listed(stub, size) for size in (1, 3, 8, 10, 11, 100)]

        assert alone == [alone[0]] * 4
        assert len(alone[0]) == 8
        assert found == [[*alone[0], *(f"promptTemplates/{name}/versions/1" for name in "abc")]] * 6
        for bad in ("built-in-", "built-in-x", "built-in-99999", "x"):
            request = pb.ListPromptTemplatesRequest(page_token=bad)
            assert (await refusal(stub.ListPromptTemplates(request)))[0] == grpc.StatusCode.INVALID_ARGUMENT


async def test_those_that_come_with_the_service_are_listed_and_stay(tmp_path: Path) -> None:
    """They can be read and used by name, and neither replaced nor deleted."""
    async with llm() as server, dataset_service(tmp_path, server, library(1)) as (stub, _):
        names = await listed(stub)
        found = await stub.GetPromptTemplate(pb.GetPromptTemplateRequest(name="promptTemplates/question-answer"))
        dataset = await generated(stub, template="promptTemplates/question-answer")

        assert len(names) == 8
        assert "promptTemplates/chat/versions/1" in names
        assert (found.built_in, found.mapping.prompt, found.HasField("meta")) == (True, "question", False)
        assert dataset.spec.task_type == dataset_pb2.TASK_TYPE_QUESTION_ANSWER
        for name in ("promptTemplates/chat", "promptTemplates/chat/versions/1"):
            assert await refusal(stub.DeletePromptTemplate(pb.DeletePromptTemplateRequest(name=name))) == BUILT_IN
        assert await refusal(stub.CreatePromptTemplate(create("chat"))) == BUILT_IN


TURNS = {"talk": {"type": "array", "items": {"type": "string"}}}


@pytest.mark.parametrize(
    "fields",
    [
        {"text": ""},
        {"text": "## user\n{passage}"},
        {"text": TEXT.replace("{passage}", "{pasage}")},
        {"text": TEXT.replace("{passage}", "it")},
        {"text": TEXT.replace("You write", "About {topic} you write")},
        {"text": TEXT + "x" * 65_536},
        {"reply_schema": "{"},
        {"reply_schema": "[" * 20_000},
        {"reply_schema": '{"type": "object", "properties": {"term": {"type": "strin"}}}'},
        {"reply_schema": '{"type": "array"}'},
        {"reply_schema": schema({**PROPERTIES, "Big Name": {}})},
        {"reply_schema": schema({**PROPERTIES, "more": {"$ref": "#/properties/term"}})},
        {"reply_schema": schema(required=["term"])},
        {"mapping": {}},
        {"mapping": {"prompt": "term"}},
        {"mapping": {"response": "meaning"}},
        {"mapping": {**MAPPING, "prompt": "question"}},
        {"mapping": {**MAPPING, "prompt_text": "{passage}"}},
        {"mapping": {"response": "meaning", "prompt_text": "{nothing}"}},
        {"mapping": {**MAPPING, "evidence": "rank"}},
        {"mapping": {"turns": "talk"}, "reply_schema": schema(TURNS)},
        {"mapping": {**MAPPING, "turns": "term"}},
        {
            "mapping": {"prompt": "term", "response": "meaning"},
            "grounding": prompt_template_pb2.GROUNDING_EVIDENCE,
        },
    ],
    ids=lambda fields: str(fields)[:60],
)
async def test_a_template_that_cannot_work_is_refused(tmp_path: Path, fields: dict[str, Any]) -> None:
    """When it is made, not when a dataset has been paid for; nothing of it is kept."""
    async with dataset_service(tmp_path) as (stub, _):
        assert await refusal(stub.CreatePromptTemplate(create(**fields))) == INVALID
        assert len(await listed(stub)) == 8


async def test_names_that_are_none_are_refused(tmp_path: Path) -> None:
    """With the form that they should have."""
    bad = (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    async with dataset_service(tmp_path) as (stub, _):
        for id in ("", "Big", "a/b"):
            assert await refusal(stub.CreatePromptTemplate(create(id))) == bad
        assert await refusal(stub.CreatePromptTemplate(create(scope=77))) == bad
        assert await refusal(stub.GetPromptTemplate(pb.GetPromptTemplateRequest(name="templates/x"))) == bad
        assert await refusal(stub.GetPromptTemplate(pb.GetPromptTemplateRequest(name="promptTemplates/x"))) == ABSENT
        gone = pb.DeletePromptTemplateRequest(name="promptTemplates/x/versions/1")
        assert await refusal(stub.DeletePromptTemplate(gone)) == ABSENT
