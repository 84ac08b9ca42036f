"""An LLM's judgement of a run's answers: base against tuned, pair by pair."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from google.protobuf.json_format import ParseDict

from finetuneflow.dataset.v1 import comparison_pb2
from finetuneflow.training.v1 import judgement_pb2
from finetuneflow.training.v1 import training_service_pb2 as pb
from services.common.documents.port import Document
from services.common.errors import InvalidArgument, NotReady, Unavailable
from services.common.objects.port import Objects
from services.common.protoform import timestamp
from services.common.resources import Resources
from services.training.chatform import require_models
from services.training.core_winrate import BASE, TIE, TUNED, UNJUDGED, win_rate
from services.training.ports import Datasets

ANSWERS = "answers.jsonl"
"""The artifact in which the trainer leaves both models' answers."""
MAX_PAIRS = 1_000
KEPT = 100
"""Pairs whose verdict is kept with the run."""
AT_ONCE = 8
"""Pairs in flight; the endpoint's own limit holds besides."""
_WORDS = {
    comparison_pb2.PREFERENCE_ONE: BASE,
    comparison_pb2.PREFERENCE_TWO: TUNED,
    comparison_pb2.PREFERENCE_TIE: TIE,
}


class Judging:
    """Judgements of runs.

    Args:
        datasets: whoever knows the LLM endpoints.
    """

    def __init__(self, runs: Resources, objects: Objects, datasets: Datasets) -> None:
        self._runs = runs
        self._objects = objects
        self._datasets = datasets

    async def judge(self, request: pb.JudgeRunRequest) -> AsyncIterator[pb.JudgeRunResponse]:
        """Yield how far it is, and at last the judgement, which is then the run's.

        Raises:
            NotFound: there is no such run or endpoint.
            InvalidArgument: max_pairs is out of range.
            NotReady: RUN_NOT_SUCCEEDED, NO_ANSWERS, NO_LLM_ENDPOINT.
            Unavailable: LLM_UNAVAILABLE, also if it refused all that it was asked; nothing is kept then.
        """
        if not 0 <= request.max_pairs <= MAX_PAIRS:
            raise InvalidArgument(f"max_pairs is {request.max_pairs}; use 0 to {MAX_PAIRS}.", field="max_pairs")
        doc = await self._runs.get(request.name)
        require_models(doc)
        rows = _spread(await self._rows(doc), request.max_pairs or MAX_PAIRS)
        found: list[tuple[int, comparison_pb2.CompareAnswersResponse]] = []
        yield pb.JudgeRunResponse(total=len(rows))
        async for answer in self._compared(request.llm_endpoint, rows):
            found.append(answer)
            yield pb.JudgeRunResponse(done=len(found), total=len(rows))
        verdicts = [answer for _, answer in sorted(found, key=lambda pair: pair[0])]
        refused = [answer.refusal for answer in verdicts if answer.refusal]
        if refused and not any(answer.opinions for answer in verdicts):
            raise Unavailable(refused[0], reason="LLM_UNAVAILABLE")
        judgement = _judgement(rows, verdicts)
        judgement["create_time"] = self._runs.clock.now()
        await self._runs.change(request.name, lambda current: current.update(judgement=judgement))
        yield pb.JudgeRunResponse(done=len(rows), total=len(rows), judgement=to_proto(judgement))

    async def _rows(self, doc: Document) -> list[dict[str, Any]]:
        key = next((a["key"] for a in doc["artifacts"] if a["filename"] == ANSWERS), None)
        data = await self._objects.read(key) if key else b""
        rows = [json.loads(line) for line in data.splitlines()]
        if not rows:
            raise NotReady(
                f"{doc['_id']} kept no answers of its models to compare. Train again with num_eval_answers over 0 and "
                "held-out examples.",
                reason="NO_ANSWERS",
                field="name",
            )
        return rows

    async def _compared(
        self, endpoint: str, rows: list[dict[str, Any]]
    ) -> AsyncIterator[tuple[int, comparison_pb2.CompareAnswersResponse]]:
        """Yield the verdict on each pair, or why there is none, as it comes; the first failure gives up the rest."""
        room = asyncio.Semaphore(AT_ONCE)

        async def compare(number: int, row: dict[str, Any]) -> tuple[int, comparison_pb2.CompareAnswersResponse]:
            async with room:
                asked = comparison_pb2.CompareAnswersRequest(
                    llm_endpoint=endpoint,
                    prompt=row["prompt"],
                    reference=row["reference"],
                    one=row["base"],
                    two=row["tuned"],
                )
                try:
                    return number, await self._datasets.compare(asked)
                except InvalidArgument as error:  # a text is too long
                    return number, comparison_pb2.CompareAnswersResponse(refusal=str(error))

        tasks = [asyncio.create_task(compare(number, row)) for number, row in enumerate(rows)]
        try:
            for task in asyncio.as_completed(tasks):
                yield await task
        finally:
            for left in tasks:
                left.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def _spread(rows: list[dict[str, Any]], most: int) -> list[dict[str, Any]]:
    count = min(len(rows), most)
    return [rows[i * len(rows) // count] for i in range(count)]


def _judgement(rows: list[dict[str, Any]], found: list[comparison_pb2.CompareAnswersResponse]) -> Document:
    better = [_WORDS.get(answer.preferred, UNJUDGED) for answer in found]

    def of(name: str) -> list[str]:
        return [word for row, word in zip(rows, better, strict=True) if row["set"] == name]

    pairs = [
        {
            "example": row["example"],
            "set": row["set"],
            "better": word,
            "reasons": [opinion.reason for opinion in answer.opinions],
        }
        for row, word, answer in zip(rows, better, found, strict=True)
    ]
    asked = next(answer for answer in found if not answer.refusal)
    return {
        "llm_endpoint": asked.llm_endpoint,
        "model": asked.model,
        "all": win_rate(better),
        "generalise": win_rate(of("generalise")),
        "recall": win_rate(of("recall")),
        "pairs": pairs[:KEPT],
    }


def to_proto(doc: Document) -> judgement_pb2.Judgement:
    """Return a judgement as a message."""
    fields = {name: value for name, value in doc.items() if name != "create_time"}
    return ParseDict(fields, judgement_pb2.Judgement(create_time=timestamp(doc["create_time"])))
