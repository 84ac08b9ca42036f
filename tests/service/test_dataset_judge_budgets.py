"""Budgets that end at a judge's call, and what judging is estimated to take."""

from __future__ import annotations

import json
from pathlib import Path

from finetuneflow.dataset.v1 import dataset_pb2
from finetuneflow.dataset.v1 import dataset_service_pb2 as pb
from tests.fakes import llm_server as fake
from tests.fakes.datasets import (
    balanced,
    dataset_service,
    drops,
    examples,
    generated,
    reason,
    state,
    wanted,
)
from tests.fakes.ingest import library
from tests.fakes.llm_server import Answer, Request, llm
from tests.service.test_dataset_judge import JUDGE, doubtful


async def test_a_budget_that_ends_at_the_judge_leaves_no_example_half_made(tmp_path: Path) -> None:
    """What has an example has its score; the rest is counted by the budget's name, and nothing is passed."""
    async with llm(doubtful) as server, dataset_service(tmp_path, server, library(6)) as (stub, _):
        dataset = await generated(stub, judge={"min_score": 1}, max_tokens=64, max_tokens_total=6000)
        everything = await examples(stub, "*")

    usage = dataset.usage
    assert (state(dataset), dataset.stop_reason) == ("SUCCEEDED", "MAX_TOKENS_TOTAL")
    assert usage.prompt_tokens + usage.completion_tokens <= 6000
    assert 0 < usage.judge_calls < usage.calls == len(server.requests)
    assert all("judge" in e.scores for e in everything if e.accepted)
    assert drops(dataset)["MAX_TOKENS_TOTAL"] == 36 - len(everything) > 0
    assert balanced(dataset)


async def test_a_budget_that_ends_at_the_first_judge_call_is_told_as_that(tmp_path: Path) -> None:
    """A call was made and paid for, so the message does not say that there was none."""

    def long(request: Request) -> Answer:
        message, usage = {"content": fake.good(request).text}, {"prompt_tokens": 6000, "completion_tokens": 20}
        return Answer(raw=json.dumps({"choices": [{"message": message}], "usage": usage}).encode())

    async with llm(long) as server, dataset_service(tmp_path, server, library(1, 1)) as (stub, _):
        dataset = await generated(stub, judge=JUDGE, max_tokens=64, max_tokens_total=6100)

    assert (state(dataset), reason(dataset)) == ("FAILED", "NO_ACCEPTED_EXAMPLES")
    assert (dataset.usage.calls > 0, dataset.usage.judge_calls) == (True, 0)
    assert "No example was finished: the next call could pass the budget" in dataset.work.error.message


async def test_an_estimate_has_the_judges_calls_and_a_preview_its_scores(tmp_path: Path) -> None:
    """Guessed at first; after a dataset with a judge, from the share of replies that it was asked about."""
    async with llm(doubtful) as server, dataset_service(tmp_path, server, library(4)) as (stub, _):
        request = wanted("", judge=JUDGE)
        request.validate_only = True
        guessed = (await stub.CreateDataset(request)).estimate
        dataset = await generated(stub, judge=JUDGE)
        measured = (await stub.CreateDataset(request)).estimate
        spec = dataset_pb2.DatasetSpec(judge=JUDGE)
        shown = await stub.PreviewExamples(pb.PreviewExamplesRequest(parent="projects/p", spec=spec, calls=4))

    usage = dataset.usage
    assert (guessed.judge_calls.low, guessed.judge_calls.high) == (12, 24)
    assert (guessed.calls.low, guessed.calls.high) == (36, 48)
    assert guessed.seconds.high == 0
    assert measured.judge_calls.low <= usage.judge_calls <= measured.judge_calls.high < 25
    assert measured.prompt_tokens.low < usage.prompt_tokens < measured.prompt_tokens.high
    assert measured.seconds.low < usage.seconds < measured.seconds.high
    assert measured.measured_calls == usage.calls - usage.judge_calls
    assert shown.usage.judge_calls == 4 == len([e for e in shown.examples if e.judge_reason])
    assert {e.drop_reason for e in shown.examples if e.scores["judge"] < 3} <= {"JUDGED_BELOW"}
