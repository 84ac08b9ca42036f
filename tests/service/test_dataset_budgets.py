"""Budgets of generation: what stops it, and that nothing is ever passed."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import grpc
import pytest

from finetuneflow.dataset.v1 import dataset_service_pb2 as pb
from finetuneflow.dataset.v1 import example_pb2
from tests.fakes import llm_server as fake
from tests.fakes.datasets import (
    balanced,
    dataset_service,
    drops,
    ended,
    endpoint,
    examples,
    generated,
    state,
    wanted,
)
from tests.fakes.ingest import library
from tests.fakes.llm_server import Answer, Request, llm
from tests.fakes.running import refusal


@pytest.mark.parametrize(
    ("budget", "reason"), [({"max_tokens_total": 5000}, "MAX_TOKENS_TOTAL"), ({"max_cost": 0.4}, "MAX_COST")]
)
async def test_a_budget_stops_generation_before_it_is_passed(
    tmp_path: Path, budget: dict[str, Any], reason: str
) -> None:
    """Each call of the fake uses 100 and 20 tokens; what is set aside for one is far more."""
    async with llm() as server, dataset_service(tmp_path, server, library(8)) as (stub, _):
        await stub.CreateLlmEndpoint(endpoint(server, "priced", prompt_price=50, completion_price=250))
        dataset = await generated(stub, llm_endpoint="llmEndpoints/priced", max_tokens=64, **budget)
        usage = dataset.usage

        assert (state(dataset), dataset.stop_reason) == ("SUCCEEDED", reason)
        assert drops(dataset) == {reason: 48 - usage.calls}
        assert balanced(dataset)
        assert 0 < usage.calls == len(server.requests) < 48
        assert usage.cost == pytest.approx((usage.prompt_tokens * 50 + usage.completion_tokens * 250) / 1e6)
        # Within one call's worst case of the budget, and not over it.
        worst = 3200
        if reason == "MAX_COST":
            assert 0.4 - (worst * 50 + 64 * 250) / 1e6 < usage.cost <= 0.4
        else:
            assert 5000 - worst - 64 < usage.prompt_tokens + usage.completion_tokens <= 5000


async def test_calls_of_a_server_that_counts_no_tokens_cost_the_most_that_they_can(tmp_path: Path) -> None:
    """A budget cannot be kept by figures that are not there."""

    def uncounted(request: Request) -> Answer:
        body = b'{"choices": [{"message": {"content": "x"}}]}'
        return Answer(raw=body)

    async with llm(uncounted) as server, dataset_service(tmp_path, server, library(8)) as (stub, _):
        dataset = await generated(stub, max_tokens=64, max_tokens_total=20_000)

        assert dataset.stop_reason == "MAX_TOKENS_TOTAL"
        assert 0 < len(server.requests) < 48


async def test_a_cost_limit_needs_prices(tmp_path: Path) -> None:
    """Nothing is begun that could not be kept."""
    async with llm() as server, dataset_service(tmp_path, server) as (stub, _):
        answer = await refusal(stub.CreateDataset(wanted(max_cost=1)))

        assert answer == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")


async def test_exactly_as_many_as_wanted_are_accepted_from_further_passages(tmp_path: Path) -> None:
    """Every third reply is bad, so the planned calls are not enough; it asks on, and stops at the number."""

    def uneven(request: Request) -> Answer:
        return fake.garbage(request) if request.number % 3 == 0 else fake.good(request)

    async with llm(uneven) as server, dataset_service(tmp_path, server, library(3, sentences=6)) as (stub, _):
        dataset = await generated(stub, examples_per_chunk=2, accepted_examples=16)

        assert (state(dataset), dataset.stop_reason) == ("SUCCEEDED", "ACCEPTED_REACHED")
        assert dataset.counts[-1].out == 16
        assert dataset.usage.calls == len(server.requests) == 24
        assert balanced(dataset)


async def test_exactly_as_many_as_wanted_also_with_personas_and_kinds_of_question(tmp_path: Path) -> None:
    """Later rounds ask by turn too, no place twice for one kind; after a break within one, what was answered counts."""
    uneven = fake.first(*[fake.garbage, fake.good] * 8, then=fake.status(401))
    spec = {
        "examples_per_chunk": 1,
        "accepted_examples": 14,
        "personas": ["a cook", "an auditor"],
        "question_types": [example_pb2.QUESTION_TYPE_FACT, example_pb2.QUESTION_TYPE_WHY],
    }
    async with llm(uneven) as server, dataset_service(tmp_path, server, library(4, sentences=6)) as (stub, _):
        paused = await generated(stub, **spec)
        server.script = fake.good
        await stub.ResumeDataset(pb.ResumeDatasetRequest(name=paused.name))
        dataset = await ended(stub)
        made = await examples(stub, "*")

        assert (state(paused), paused.counts[-1].out) == ("PAUSED", 8)
        assert (dataset.stop_reason, dataset.counts[-1].out) == ("ACCEPTED_REACHED", 14)
        assert balanced(dataset)
        assert dataset.usage.calls == len(made) > 16
        told = [(e.chunk, e.evidence, e.question_type) for e in made if e.accepted]
        assert len(set(told)) == len(told)
        for share in (Counter(e.persona for e in made), Counter(e.question_type for e in made)):
            assert min(share.values()) >= len(made) / 2 - 3


async def test_fewer_than_wanted_say_that_there_is_nothing_more_to_ask(tmp_path: Path) -> None:
    """The same text can be asked about only so often: what comes twice is a duplicate."""
    async with llm() as server, dataset_service(tmp_path, server, library(1, 1)) as (stub, _):
        dataset = await generated(stub, accepted_examples=50)

        assert (state(dataset), dataset.stop_reason) == ("SUCCEEDED", "NOTHING_MORE_TO_ASK")
        assert dataset.counts[-1].out == 4
        assert drops(dataset)["DUPLICATE"] == 4 * 3
        assert balanced(dataset)


async def test_a_restart_within_a_later_round_repeats_no_answered_call(tmp_path: Path) -> None:
    """Rounds are planned again as they were."""
    some = fake.first(*[fake.good] * 9, then=fake.status(401))
    async with llm(some) as server, dataset_service(tmp_path, server, library(2, 1, 6)) as (stub, _):
        paused = await generated(stub, accepted_examples=12)
        server.script = fake.good
        await stub.ResumeDataset(pb.ResumeDatasetRequest(name=paused.name))
        dataset = await ended(stub)

        assert (state(paused), state(dataset)) == ("PAUSED", "SUCCEEDED")
        assert (dataset.stop_reason, dataset.counts[-1].out, dataset.usage.calls) == ("ACCEPTED_REACHED", 12, 12)


async def test_an_estimate_before_and_what_it_took_after_stand_side_by_side(tmp_path: Path) -> None:
    """validate_only makes nothing; the second dataset is expected to take what the first one took."""
    async with llm() as server, dataset_service(tmp_path, server, library(8)) as (stub, _):
        request = wanted(examples_per_chunk=2)
        request.validate_only = True
        before = await stub.CreateDataset(request)
        first = await generated(stub, examples_per_chunk=2)
        taken = await refusal(stub.CreateDataset(request))
        request.dataset_id = "e"
        second = (await stub.CreateDataset(request)).estimate
        listed = await stub.ListDatasets(pb.ListDatasetsRequest(parent="projects/p"))

        assert (before.estimate.calls.low, before.estimate.calls.high) == (32, 32)
        assert before.estimate.measured_calls == before.estimate.seconds.high == 0
        assert before.spec.files
        assert not before.HasField("work")
        assert first.estimate == before.estimate
        assert first.usage.calls == 32
        assert second.measured_calls == 32
        assert second.prompt_tokens.low < first.usage.prompt_tokens < second.prompt_tokens.high
        assert second.seconds.low < first.usage.seconds < second.seconds.high
        assert taken == (grpc.StatusCode.ALREADY_EXISTS, "ALREADY_EXISTS")
        assert [d.name for d in listed.datasets] == [first.name]
