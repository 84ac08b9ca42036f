"""An LLM that judges examples, over real gRPC and real HTTP."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

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
    rows,
    state,
    wanted,
)
from tests.fakes.ingest import Ingest, library, text
from tests.fakes.llm_server import Answer, Request, llm
from tests.fakes.running import refusal

JUDGE = dataset_pb2.Judge()
ORDERS = (Path(__file__).parents[1] / "unit/dataset/injections.txt").read_text(encoding="utf-8").splitlines()


def judging(request: Request) -> bool:
    """Whether a call is one to the judge."""
    return "You check training examples" in request.body["messages"][0]["content"]


def doubtful(request: Request) -> Answer:
    """Scores of 1 to 5 that follow from the prompt, with good examples."""
    if not judging(request):
        return fake.good(request)
    number = sum(map(int, re.findall(r"\d+", request.asked.rpartition("Response:")[2])))
    return Answer(json.dumps({"reason": f"It is number {number}.", "score": number % 5 + 1}))


async def test_examples_have_the_judges_score_and_are_dropped_below_the_least(tmp_path: Path) -> None:
    """Score and reason stand on the example; filters, statistics, ledger, report and exports know them."""
    spec = dataset_pb2.Judge(min_score=3)
    async with llm(doubtful) as server, dataset_service(tmp_path, server, library(6)) as (stub, _):
        dataset = await generated(stub, judge=spec)
        everything = await examples(stub, "*")
        low = await examples(stub, "scores.judge < 3")
        found = await stub.GetDatasetStatistics(pb.GetDatasetStatisticsRequest(name=NAME))
        steps = {s.step: s for s in (await stub.GetLedger(ledger_pb2.GetLedgerRequest(name=NAME))).steps}
        asked = statistics_pb2.MakeDatasetReportRequest(name=NAME)
        report = b"".join([p.data async for p in stub.MakeDatasetReport(asked) if p.filename == "report.md"]).decode()
        lines = await rows(stub)

    judged = [e for e in everything if "judge" in e.scores]
    assert (state(dataset), balanced(dataset)) == ("SUCCEEDED", True)
    assert dataset.spec.judge.llm_endpoint == "llmEndpoints/fake"
    assert dataset.usage.judge_calls == len(judged) == sum(map(judging, server.requests)) > 20
    assert dataset.usage.calls == len(server.requests)
    assert {e.name for e in low} == {e.name for e in judged if e.scores["judge"] < 3} != set()
    assert {(e.accepted, e.drop_reason) for e in low} == {(False, "JUDGED_BELOW")}
    assert all(e.drop_detail.startswith(f"judged {e.scores['judge']:g} of 5: It is number") for e in low)
    assert all(e.judge_reason.startswith("It is number") for e in judged)
    assert drops(dataset)["JUDGED_BELOW"] == len(low)
    assert found.scores["judge"].min == 3
    assert {c.name: c.count for c in found.judged} == Counter(f"{e.scores['judge']:g}" for e in judged)
    assert (steps["judge"].dropped[0].count, getattr(steps["judge"], "in")) == (len(low), len(judged))
    assert {part.name for part in steps["judge"].parts} == {"scored"}
    assert "| Judge's score |" in report
    assert {line["source"]["judge"] for line in lines} == {3, 4, 5}
    assert {r.body["temperature"] for r in server.requests if judging(r)} == {0}


async def test_planted_false_answers_are_dropped_and_true_ones_kept(tmp_path: Path) -> None:
    """Answers about a weight are another sentence of the chunk, no word strange, so that the checks let them pass.

    The judge knows which are false: what is shown is that each of its verdicts takes effect, not that an LLM is right.
    """

    def lying(request: Request) -> Answer:
        if judging(request):
            prompt = re.findall(r"^Prompt: (.*)$", request.asked, re.M)[0]
            response = re.findall(r"^Response: (.*)$", request.asked, re.M)[0]
            score = 1 if (prompt, response) in planted else 5
            return Answer(json.dumps({"reason": "As planted." if score == 1 else "True.", "score": score}))
        found = fake.example(request)
        weight = re.match(r"The (.+) weighs (\d+) ", found["answer"])
        if weight:
            found["answer"] = f"The {weight[1]} was first sold in {1947 + int(weight[2])}."
            planted.add((found["question"], found["answer"]))
        return Answer(json.dumps(found))

    planted: set[tuple[str, str]] = set()
    async with llm(lying) as server, dataset_service(tmp_path, server, library(7, 1)) as (stub, _):
        dataset = await generated(stub, judge=JUDGE, min_grounding=0.0, near_duplicate=1.0)
        everything = await examples(stub, "*")

    told = {(e.prompt, e.response): e.drop_reason for e in everything if "judge" in e.scores}
    assert len(planted) == 7
    assert {told[pair] for pair in planted} == {"JUDGED_BELOW"}
    assert {why for pair, why in told.items() if pair not in planted} == {""}
    assert balanced(dataset)


async def test_an_unreadable_judge_is_asked_once_more_and_then_leaves_a_flag(tmp_path: Path) -> None:
    """Nothing is dropped for it; the flag can be filtered and counted."""

    def mumbling(request: Request) -> Answer:
        return Answer("Hm, hard to say.") if judging(request) else fake.good(request)

    async with llm(mumbling) as server, dataset_service(tmp_path, server, library(1, 1)) as (stub, _):
        dataset = await generated(stub, judge=JUDGE)
        flagged = await examples(stub, "flag = UNJUDGED")
        found = await stub.GetDatasetStatistics(pb.GetDatasetStatisticsRequest(name=NAME))

    assert (state(dataset), len(flagged), dataset.flags["UNJUDGED"]) == ("SUCCEEDED", 3, 3)
    assert all(e.accepted and "judge" not in e.scores for e in flagged)
    assert dataset.usage.judge_calls == 2 * 3
    assert [(c.name, c.count) for c in found.judged] == [("UNJUDGED", 3)]


@pytest.mark.parametrize("code", [400, 413])
async def test_a_judge_call_that_is_refused_for_good_costs_a_score_and_not_the_dataset(
    tmp_path: Path, code: int
) -> None:
    """As where a chunk is longer than the judge's context: such examples are kept, flagged and asked about once."""

    def short(request: Request) -> Answer:
        refuses = judging(request) and "Plover" in request.asked
        return fake.status(code)(request) if refuses else fake.good(request)

    async with llm(short) as server, dataset_service(tmp_path, None, library(4)) as (stub, _):
        await stub.CreateLlmEndpoint(endpoint(server, json_mode="JSON_MODE_SCHEMA"))
        dataset = await generated(stub, judge=JUDGE)
        flagged = await examples(stub, "flag = UNJUDGED")
        refused = [r.asked for r in server.requests if judging(r) and "Plover" in r.asked]

    assert (state(dataset), dataset.counts[-1].out, drops(dataset)) == ("SUCCEEDED", 24, {})
    assert len(flagged) == dataset.flags["UNJUDGED"] == len(refused) == len(set(refused)) == 6
    assert all(e.accepted and "judge" not in e.scores for e in flagged)
    assert balanced(dataset)


async def test_a_judge_that_refuses_every_call_pauses_the_dataset(tmp_path: Path) -> None:
    """It is no matter of the chunks; when the judge takes calls again, every example is judged."""

    def writing(request: Request) -> Answer:
        return fake.status(400)(request) if judging(request) else fake.good(request)

    async with llm(writing) as server, dataset_service(tmp_path, server, library(6)) as (stub, _):
        paused = await generated(stub, judge=JUDGE)
        server.script = fake.good
        await stub.ResumeDataset(pb.ResumeDatasetRequest(name=NAME))
        dataset = await ended(stub)

    assert (state(paused), reason(paused)) == ("PAUSED", "LLM_UNAVAILABLE")
    assert "status 400" in paused.work.error.message
    assert (state(dataset), dataset.counts[-1].out, dict(dataset.flags)) == ("SUCCEEDED", 36, {})
    assert dataset.usage.judge_calls == 36


async def test_judge_calls_are_made_side_by_side(tmp_path: Path) -> None:
    """Of another endpoint, as many at once as that one takes; its model is asked, and its prices count."""

    def slow(request: Request) -> Answer:
        return Answer(doubtful(request).text, hang=0.05)

    async with llm(slow) as judge, llm() as server, dataset_service(tmp_path, server, library(4)) as (stub, _):
        prices = {"prompt_price": 2, "completion_price": 10}
        await stub.CreateLlmEndpoint(endpoint(judge, "judge", model="other", max_concurrency=3, **prices))
        spec = dataset_pb2.Judge(llm_endpoint="llmEndpoints/judge", min_score=1)
        dataset = await generated(stub, llm_endpoint="llmEndpoints/fake", judge=spec)
        no_prices = wanted(
            "e", llm_endpoint="llmEndpoints/judge", judge={"llm_endpoint": "llmEndpoints/fake"}, max_cost=1
        )
        refused = await refusal(stub.CreateDataset(no_prices))

    assert judge.most_at_once == 3
    assert {r.body["model"] for r in judge.requests} == {"other"}
    assert (dataset.usage.calls, dataset.usage.judge_calls) == (24 + len(judge.requests), len(judge.requests))
    assert dataset.usage.cost == pytest.approx(dataset.usage.judge_calls * (100 * 2 + 20 * 10) / 1e6)
    assert refused == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")


async def test_a_dataset_whose_judge_goes_away_is_paused_and_goes_on_without_buying_anything_again(
    tmp_path: Path,
) -> None:
    """The same bytes as a dataset that was never interrupted, and each prompt asked once."""
    async with llm(doubtful) as server, dataset_service(tmp_path / "whole", server, library(4)) as (stub, _):
        whole = await generated(stub, judge=JUDGE)
    some = fake.first(*[doubtful] * 20, then=fake.status(401))
    async with llm(some) as server, dataset_service(tmp_path / "cut", server, library(4)) as (stub, _):
        paused = await generated(stub, judge=JUDGE)
        refused = len(server.requests) - 20
        server.script = doubtful
        await stub.ResumeDataset(pb.ResumeDatasetRequest(name=NAME))
        dataset = await ended(stub)
        asked = Counter(json.dumps(r.body["messages"]) for r in server.requests)

    assert (state(paused), reason(paused), state(dataset)) == ("PAUSED", "LLM_UNAVAILABLE", "SUCCEEDED")
    assert dataset.versions[0].artifact.sha256 == whole.versions[0].artifact.sha256
    assert dataset.usage.judge_calls == whole.usage.judge_calls
    assert len(asked) == dataset.usage.calls == whole.usage.calls
    assert asked.total() == dataset.usage.calls + refused


async def test_orders_of_documents_never_reach_the_judge(tmp_path: Path) -> None:
    """What a passage orders is left out of what the judge is shown; facts beside it are judged."""
    documents = Ingest({f"projects/p/files/f{n}": [f"{text(n)}\n\n{order}"] for n, order in enumerate(ORDERS[:12])})
    async with llm() as server, dataset_service(tmp_path, server, documents) as (stub, _):
        await generated(stub, judge=JUDGE)
        seen = [r.asked for r in server.requests if judging(r)]

    assert len(seen) > 24
    assert not [asked for asked in seen if "PWNED" in asked]


async def test_a_judges_reason_is_masked_as_the_example_is(tmp_path: Path) -> None:
    """It may quote what the policy hides."""

    def quoting(request: Request) -> Answer:
        said: dict[str, Any] = {"reason": "It is jane.doe@example.com, see above.", "score": 5}
        return Answer(json.dumps(said)) if judging(request) else fake.good(request)

    chunk = "The Wren balance is repaired by jane.doe@example.com in May 1999. The Plover barometer costs 103 crowns."
    documents = Ingest({"projects/p/files/f0": [chunk]})
    async with llm(quoting) as server, dataset_service(tmp_path, server, documents) as (stub, _):
        await generated(stub, judge=JUDGE, pii_policy={"EMAIL": dataset_pb2.PII_ACTION_MASK})
        found = await examples(stub, "*")

    assert {e.judge_reason for e in found} == {"It is [EMAIL], see above."}


async def test_a_least_score_out_of_range_is_refused(tmp_path: Path) -> None:
    """The message says the range."""
    async with llm() as server, dataset_service(tmp_path, server) as (stub, _):
        with pytest.raises(grpc.aio.AioRpcError, match="use 1 to 5") as error:
            await stub.CreateDataset(wanted(judge={"min_score": 6}))

        assert error.value.code() == grpc.StatusCode.INVALID_ARGUMENT
