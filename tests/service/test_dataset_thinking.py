"""LLMs that think, and come to max_tokens before they answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from finetuneflow.dataset.v1 import dataset_pb2
from tests.fakes import llm_server as fake
from tests.fakes.datasets import balanced, dataset_service, drops, examples, generated, state
from tests.fakes.ingest import library
from tests.fakes.llm_server import Answer, Request, Script, llm

CUT = "max_tokens 64 ended while it was thinking: raise --max-tokens"


def ended(finish_reason: str, **message: Any) -> Script:
    """A reply with its finish reason."""
    choice = {"finish_reason": finish_reason, "message": {"role": "assistant", **message}}
    raw = json.dumps({"choices": [choice], "usage": {"prompt_tokens": 100, "completion_tokens": 64}}).encode()
    return lambda request: Answer(raw=raw)


def judging(request: Request) -> bool:
    """Whether a call is one to the judge."""
    return "You check training examples" in request.body["messages"][0]["content"]


@pytest.mark.parametrize(
    "message",
    [
        {"content": "", "reasoning_content": "Let me see."},
        {"reasoning": "Let me see."},
        {"content": None},
        {"content": "<think>Let me see."},
    ],
    ids=["apart", "no content", "null", "in the text"],
)
async def test_a_reply_that_ended_while_the_llm_was_thinking_says_what_to_raise(
    tmp_path: Path, message: dict[str, Any]
) -> None:
    """Dropped as TRUNCATED; the message of a dataset without an example says it too, and blames no LLM."""
    script = ended("length", **message)
    async with llm(script) as server, dataset_service(tmp_path, server, library(1)) as (stub, _):
        dataset = await generated(stub, max_tokens=64)
        dropped = await examples(stub, "*")

    assert state(dataset) == "FAILED"
    assert drops(dataset) == {"TRUNCATED": 6}
    assert balanced(dataset)
    assert all(e.drop_detail.startswith(CUT) for e in dropped)
    assert f"(TRUNCATED 6). In 6 of them {CUT}" in dataset.work.error.message
    assert "stronger" not in dataset.work.error.message


async def test_a_reply_that_is_empty_for_another_reason_is_told_as_before(tmp_path: Path) -> None:
    """Only what came to max_tokens is helped by more of them."""
    async with llm(ended("stop", content="")) as server, dataset_service(tmp_path, server, library(1)) as (stub, _):
        dataset = await generated(stub, max_tokens=64)

    assert drops(dataset) == {"EMPTY_REPLY": 6}
    assert "stronger" in dataset.work.error.message


async def test_a_judge_that_ended_while_it_was_thinking_says_what_to_raise(tmp_path: Path) -> None:
    """Its examples stay without a score, and say why."""
    thinking = ended("length", content="", reasoning_content="Let me see.")

    def script(request: Request) -> Answer:
        return thinking(request) if judging(request) else fake.good(request)

    async with llm(script) as server, dataset_service(tmp_path, server, library(1)) as (stub, _):
        dataset = await generated(stub, max_tokens=64, judge=dataset_pb2.Judge())
        kept = await examples(stub)

    assert state(dataset) == "SUCCEEDED", dataset.work.error
    assert len(kept) == dataset.flags["UNJUDGED"] == 6
    assert all(e.judge_reason.startswith(CUT) for e in kept)


async def test_thinking_models_may_have_32768_tokens(tmp_path: Path) -> None:
    """They are asked for that many."""
    async with llm() as server, dataset_service(tmp_path, server, library(1, 1)) as (stub, _):
        dataset = await generated(stub, max_tokens=32_768)

    assert state(dataset) == "SUCCEEDED", dataset.work.error
    assert {request.body["max_tokens"] for request in server.requests} == {32_768}
