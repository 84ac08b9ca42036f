"""A run's answers judged over real gRPC: the verdicts come from upstream, the counting and keeping is training's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc
import pytest

from finetuneflow.dataset.v1 import comparison_pb2
from finetuneflow.training.v1 import judgement_pb2
from finetuneflow.training.v1 import training_service_pb2 as pb
from services.common.errors import InvalidArgument, Unavailable
from services.training.core_winrate import wilson, win_rate
from tests.fakes.running import refusal
from tests.fakes.upstream import Upstream, usual
from tests.service.test_training import RUN, ended, request, training


def answers(count: int = 12) -> list[dict[str, str]]:
    """Pairs of which the tuned model's is right in two of three; the fourth of each four is of the other set."""
    return [
        {
            "set": "recall" if n % 4 == 3 else "generalise",
            "example": f"e{n}",
            "prompt": f"Question {n}?",
            "reference": "right",
            "base": "right" if n % 3 == 2 else "wrong",
            "tuned": "wrong" if n % 3 == 2 else "right",
        }
        for n in range(count)
    ]


def knowing(request: comparison_pb2.CompareAnswersRequest) -> comparison_pb2.CompareAnswersResponse:
    """Prefer the answer that is the reference."""
    better = "ONE" if request.one == request.reference else "TWO"
    opinion = comparison_pb2.Opinion(preferred=f"PREFERENCE_{better}", reason="It is the reference.")
    return comparison_pb2.CompareAnswersResponse(
        preferred=f"PREFERENCE_{better}",
        opinions=[opinion, opinion],
        llm_endpoint=request.llm_endpoint or "llmEndpoints/only",
        model="judge",
    )


def judged_by(judge: Any) -> Upstream:
    """The usual services, with a judge."""
    upstream = usual()
    upstream.judge = judge
    return upstream


async def judge(stub: Any, **fields: Any) -> tuple[judgement_pb2.Judgement, list[int]]:
    """Judge the run; return what came of it and how far it said it was."""
    told = [update async for update in stub.JudgeRun(pb.JudgeRunRequest(name=RUN, **fields))]
    return told[-1].judgement, [update.done for update in told]


async def test_a_judge_who_knows_finds_the_right_rate_and_the_run_keeps_it(tmp_path: Path) -> None:
    """Over all and for each set, with the judge's name; a later judgement takes its place."""
    async with training(tmp_path, judged_by(knowing), steps=1, answers=answers()) as (stub, _):
        await stub.CreateRun(request())
        before, _ = await ended(stub)
        found, told = await judge(stub, llm_endpoint="llmEndpoints/j")
        kept = await stub.GetRun(pb.GetRunRequest(name=RUN))
        fewer, _ = await judge(stub, max_pairs=4)

    assert not before.HasField("judgement")
    assert told == [*range(13), 12]
    assert (found.all.wins, found.all.losses, found.all.ties, found.all.rate) == (8, 4, 0, pytest.approx(2 / 3))
    assert (found.generalise.wins + found.recall.wins, found.recall.losses) == (8, 1)
    assert (found.llm_endpoint, found.model) == ("llmEndpoints/j", "judge")
    assert [(p.example, p.better) for p in found.pairs[:3]] == [("e0", "tuned"), ("e1", "tuned"), ("e2", "base")]
    assert kept.judgement == found
    assert fewer.all.wins + fewer.all.losses == 4


async def test_a_judge_who_is_away_costs_the_run_nothing(tmp_path: Path) -> None:
    """It stays as it was, with the judgement that it had."""
    upstream = judged_by(knowing)

    def away(request: comparison_pb2.CompareAnswersRequest) -> comparison_pb2.CompareAnswersResponse:
        if request.prompt == "Question 5?":
            raise Unavailable("The LLM is away. Check its URL.", reason="LLM_UNAVAILABLE")
        return knowing(request)

    async with training(tmp_path, upstream, steps=1, answers=answers()) as (stub, _):
        await stub.CreateRun(request())
        await ended(stub)
        await judge(stub)
        before = await stub.GetRun(pb.GetRunRequest(name=RUN))
        upstream.judge = away
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await judge(stub)
        after = await stub.GetRun(pb.GetRunRequest(name=RUN))
        upstream.judge = None
        none = await _failed(stub)

    assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
    assert (before.judgement, before.work) == (after.judgement, after.work)
    assert none == grpc.StatusCode.FAILED_PRECONDITION


async def test_a_pair_that_is_refused_is_unjudged_unless_all_are(tmp_path: Path) -> None:
    """By the judge's server, or for its length; who refuses all judges nothing."""

    def short(request: comparison_pb2.CompareAnswersRequest) -> comparison_pb2.CompareAnswersResponse:
        if request.prompt == "Question 0?":
            raise InvalidArgument("one has over 100,000 characters. Shorten it.", field="one")
        if request.prompt == "Question 1?":
            return comparison_pb2.CompareAnswersResponse(llm_endpoint="llmEndpoints/only", refusal="status 413")
        return knowing(request)

    def deaf(request: comparison_pb2.CompareAnswersRequest) -> comparison_pb2.CompareAnswersResponse:
        if request.prompt == "Question 2?":  # both answers are the same text
            return comparison_pb2.CompareAnswersResponse(preferred="PREFERENCE_TIE")
        return comparison_pb2.CompareAnswersResponse(llm_endpoint="llmEndpoints/only", refusal="status 400")

    upstream = judged_by(short)
    async with training(tmp_path, upstream, steps=1, answers=answers()) as (stub, _):
        await stub.CreateRun(request())
        await ended(stub)
        found, told = await judge(stub)
        upstream.judge = deaf
        none = await _failed(stub)
        kept = await stub.GetRun(pb.GetRunRequest(name=RUN))

    assert (found.all.wins, found.all.losses, found.all.unjudged) == (6, 4, 2)
    assert (found.llm_endpoint, found.model, told[-1]) == ("llmEndpoints/only", "judge", 12)
    assert none == grpc.StatusCode.UNAVAILABLE
    assert kept.judgement == found


async def _failed(stub: Any) -> grpc.StatusCode:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await judge(stub)
    return caught.value.code()


async def test_what_cannot_be_judged_is_refused(tmp_path: Path) -> None:
    """A run that is not there, has not ended, or kept no answers."""
    async with training(tmp_path, judged_by(knowing), steps=1) as (stub, _):
        asked = pb.JudgeRunRequest(name=RUN)
        missing = await refusal(stub.JudgeRun(asked))
        await stub.CreateRun(request())
        early = await refusal(stub.JudgeRun(asked))
        await ended(stub)
        empty = await refusal(stub.JudgeRun(asked))
        many = await refusal(stub.JudgeRun(pb.JudgeRunRequest(name=RUN, max_pairs=1001)))

    assert missing[0] == grpc.StatusCode.NOT_FOUND
    assert (early[1], empty[1], many[1]) == ("RUN_NOT_SUCCEEDED", "NO_ANSWERS", "INVALID_FIELD")


def test_a_win_rate_counts_ties_as_halves_and_tells_how_sure_it_is() -> None:
    """Only ties are no difference, whatever their number; the interval is Wilson's, known from his tables."""
    tied = win_rate(["tie"] * 20)
    mixed = win_rate(["tuned"] * 6 + ["base"] * 2 + ["tie"] * 2 + [""] * 5)

    assert (tied["rate"], tied["wins"]) == (0.5, 0)
    assert (mixed["rate"], mixed["unjudged"]) == (0.7, 5)
    assert wilson(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert wilson(0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)
    assert wilson(0, 0) == (0.0, 1.0)
