"""Calls and examples: the children of datasets."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Container, Sequence
from dataclasses import dataclass, field
from itertools import starmap
from operator import itemgetter
from typing import Any

from services.common import ids
from services.common.documents.port import Collection, Document
from services.common.errors import AlreadyExists
from services.common.resources import Resources
from services.dataset.core.example import Verdict
from services.dataset.core.ledger import NO_SIDE, REFUSED_CALL, SIDES, on_a_side
from services.dataset.ports import Reply
from services.dataset.spec import Call

CALL_INDEXES = ("dataset_uid",)
EXAMPLE_INDEXES = ("dataset_uid,order", "dataset_uid,delete_time,split", "parent,accepted,order", "order")
_SIDES = tuple(f"SPLIT_{side}" for side in SIDES)
_PAGE = 500
_MANY = 20_000
"""Examples that are read at once at most."""
_FATE = ("_id", "delete_time", "accepted", "drop_reason", "drop_detail", "split", "scores", "flags")
USAGE = ("retries", "prompt_tokens", "completion_tokens", "prompt_bytes")
"""What is added up over the calls of a dataset."""


@dataclass
class Used:
    """What some calls used.

    Args:
        figures: "calls", and the sum of each of USAGE.
        charged: tokens of prompts and replies that count against budgets.
    """

    figures: dict[str, float] = field(default_factory=lambda: {"calls": 0, **dict.fromkeys(USAGE, 0)})
    charged: tuple[float, float] = (0, 0)

    def add(self, record: Document) -> None:
        """Count one more call."""
        self.figures["calls"] += 1
        for name in USAGE:
            self.figures[name] += record.get(name, 0)
        prompt, completion = record.get("charged") or (record["prompt_tokens"], record["completion_tokens"])
        self.charged = (self.charged[0] + prompt, self.charged[1] + completion)


def purpose(id: str) -> str:
    """Return what a call was made for: "judge" of "judge-1f2e", "" of a call that was to bring an example."""
    return id.rpartition("-")[0]


def answered(reply: Reply) -> Document:
    """Return what is recorded of a reply."""
    return {
        "text": reply.text[:200_000],
        "reasoning": reply.reasoning[:100_000],
        "finish_reason": reply.finish_reason,
        "prompt_tokens": reply.prompt_tokens,
        "completion_tokens": reply.completion_tokens,
        "retries": reply.retries,
    }


class Calls:
    """Every answered call, recorded before its result is used, so that a restart does not make it again."""

    def __init__(self, collection: Collection) -> None:
        self._collection = collection

    async def get(self, uid: str, id: str) -> Document | None:
        """Return the record of a call, or None."""
        return await self._collection.get(f"{uid}/{id}")

    async def record(
        self, uid: str, id: str, reply: Reply, seconds: float, charged: tuple[float, float], prompt_bytes: int
    ) -> Document:
        """Record an answered call. Repeating it returns the first record.

        Args:
            charged: tokens of the prompt and of the reply that count against budgets.
            prompt_bytes: UTF-8 bytes of its messages.
        """
        doc: Document = {
            "_id": f"{uid}/{id}",
            "dataset_uid": uid,
            "seconds": seconds,
            "charged": list(charged),
            "prompt_bytes": prompt_bytes,
            **answered(reply),
        }
        try:
            return await self._collection.insert(doc)
        except AlreadyExists:
            return await self._collection.get(doc["_id"]) or doc

    async def recorded(self, uid: str) -> tuple[dict[str, Used], set[str]]:
        """Return what the recorded calls of a dataset used, by what they were made for, and their ids."""
        found: dict[str, Used] = {}
        ids_: set[str] = set()
        async for doc in _all(self._collection, {"dataset_uid": uid}, "_id"):
            id = doc["_id"].partition("/")[2]
            found.setdefault(purpose(id), Used()).add(doc)
            ids_.add(id)
        return found, ids_

    async def delete(self, uid: str) -> None:
        """Remove the calls of a dataset. Repeating it does nothing."""
        await _delete_all(self._collection, {"dataset_uid": uid})


class Examples:
    """Examples as resources below their dataset."""

    def __init__(self, resources: Resources) -> None:
        self.resources = resources

    async def of_call(self, dataset: Document, call: Call) -> Document | None:
        """Return the example that a call gave, also a deleted one; None before it was judged."""
        return await self.resources.collection.get(_name(dataset, call))

    async def add(
        self, dataset: Document, judged: Sequence[tuple[Call, Verdict, Document]], version: str, llm: str
    ) -> None:
        """Keep what the checks said of some calls' replies, in their order. What is there already stays as it is."""

        def entry(call: Call, verdict: Verdict, reply: Document) -> tuple[str, Document]:
            fields = {
                **describe(call, verdict, version.partition("/")[0]),
                "parent": dataset["_id"],
                "dataset_uid": dataset["uid"],
                "call_index": call.index,
                "prompt_version": version,
                "llm": llm,
                "reply_tokens": reply["completion_tokens"],
            }
            return _name(dataset, call), fields

        await self.resources.create_many(starmap(entry, judged), creator=dataset["creator"])

    async def keep_only(self, dataset: Document, calls: Sequence[Call]) -> set[str]:
        """Remove the examples of calls that are no longer in the plan, as after a file was cut anew, or were refused.

        Returns: the ids of the calls that have an example.
        """
        planned = {_name(dataset, call): call.id for call in calls}
        return {planned[name] for name in await self.keep_named(dataset, planned)}

    async def keep_named(self, dataset: Document, names: Container[str]) -> set[str]:
        """Remove the examples that are not of these names, or whose calls were refused; return the names left."""
        kept: set[str] = set()
        async for doc in _all(self.resources.collection, {"dataset_uid": dataset["uid"]}, "order"):
            if doc["_id"] in names and doc["drop_reason"] != REFUSED_CALL:
                kept.add(doc["_id"])
            else:
                await self.resources.collection.delete(doc["_id"])
        return kept

    async def all(self, dataset: Document, **conditions: Any) -> list[Document]:
        """Return the examples of a dataset that meet some conditions, in order, deleted ones left out."""
        where = {"dataset_uid": dataset["uid"], "delete_time": None, **conditions}
        return [doc async for doc in _all(self.resources.collection, where, "order")]

    async def pages(self, dataset: Document, **conditions: Any) -> AsyncIterator[list[Document]]:
        """Yield what `all` returns, some hundreds at a time; examples may be changed in between."""
        where = {"dataset_uid": dataset["uid"], "delete_time": None, **conditions}
        async for docs in _pages(self.resources.collection, where, "order"):
            yield docs

    async def every(self, dataset: Document) -> list[Document]:
        """Return all examples of a dataset in order, deleted ones too."""
        return [doc async for doc in _all(self.resources.collection, {"dataset_uid": dataset["uid"]}, "order")]

    async def fates(self, dataset: Document) -> list[Document]:
        """Return of every example of a dataset, in order and deleted ones too, what its ledger asks for."""
        where = {"dataset_uid": dataset["uid"]}
        return [_fate(doc) async for doc in _all(self.resources.collection, where, "order")]

    async def sides(self, dataset: Document) -> tuple[Counter[str], list[Document]]:
        """Return how many examples of a dataset are on each side, and what `fates` says of every other one.

        What is on a side is counted where it is stored: of a million examples few are anywhere else.
        """
        collection, where = self.resources.collection, {"dataset_uid": dataset["uid"]}
        kept: dict[str, Any] = {**where, "delete_time": None}
        sides = Counter({side: await collection.count({**kept, "split": side}) for side in _SIDES})
        if await collection.count(where) - sides.total() > _MANY:
            return await self._looked_at(dataset)
        elsewhere: list[dict[str, Any]] = [
            {**where, "delete_time": {"$gt": 0}},
            {**kept, "split": NO_SIDE},
            {**where, "parent": dataset["_id"], "accepted": False},
        ]
        others = {doc["_id"]: doc for some in elsewhere for doc in await collection.find(some)}
        for doc in others.values():
            if doc["delete_time"] is None and doc["split"] in sides:
                sides[doc["split"]] -= 1
        return sides, [_fate(doc) for doc in sorted(others.values(), key=itemgetter("order"))]

    async def _looked_at(self, dataset: Document) -> tuple[Counter[str], list[Document]]:
        """Return what `sides` says, from every example: slower, and good for any number off the sides."""
        sides, others = Counter[str](), list[Document]()
        async for doc in _all(self.resources.collection, {"dataset_uid": dataset["uid"]}, "order"):
            if on_a_side(doc):
                sides[doc["split"]] += 1
            else:
                others.append(_fate(doc))
        return sides, others

    async def delete(self, uid: str) -> None:
        """Remove the examples of a dataset. Repeating it does nothing."""
        await _delete_all(self.resources.collection, {"dataset_uid": uid})


def _name(dataset: Document, call: Call) -> str:
    return f"{dataset['_id']}/examples/{example_id(call)}"


def _fate(doc: Document) -> Document:
    return {name: doc[name] for name in _FATE if name in doc}


def example_id(call: Call) -> str:
    """Return the id of the example that a call gives: the last part of its name."""
    return ids.derived_id("e", call.id)


def describe(call: Call, verdict: Verdict, task_type: str) -> Document:
    """Return an example's own fields: its texts, its evidence and where that stands, and what the checks said.

    Args:
        task_type: its template's name, without the version.
    """
    source = call.source
    start, end = source.in_document(*verdict.evidence_range) if verdict.evidence else (0, 0)
    return {
        "prompt": verdict.prompt,
        "response": verdict.response,
        "chunk": source.chunk,
        "file": source.file,
        "file_name": source.file_name,
        "evidence": verdict.evidence,
        "evidence_span": {"start": start, "end": end},
        "place": source.place(start) if verdict.evidence else None,
        "accepted": verdict.accepted,
        "drop_reason": verdict.drop_reason,
        "drop_detail": verdict.detail,
        "messages": [dict(message) for message in verdict.messages],
        "reasoning": verdict.reasoning,
        "task_type": task_type,
        "language": call.aim.language or source.language,
        "persona": call.aim.persona,
        "question_type": call.aim.question_type,
        "split": NO_SIDE,
        "edited": False,
        "flags": list(verdict.flags),
        # Stores may differ where a path meets a list: this is what is asked for.
        "flagged": dict.fromkeys(verdict.flags, True),
        "scores": dict(verdict.scores),
        **({"judge_reason": verdict.judge_reason} if verdict.judge_reason else {}),
    }


async def _all(collection: Collection, where: dict[str, Any], order: str) -> AsyncIterator[Document]:
    async for docs in _pages(collection, where, order):
        for doc in docs:
            yield doc


async def _pages(collection: Collection, where: dict[str, Any], order: str) -> AsyncIterator[list[Document]]:
    last: str | None = None
    while True:
        page = {**where, order: {"$gt": last}} if last is not None else where
        docs = await collection.find(page, sort=order, limit=_PAGE)
        if docs:
            yield docs
        if len(docs) < _PAGE:
            return
        last = docs[-1][order]


async def _delete_all(collection: Collection, where: dict[str, Any]) -> None:
    while docs := await collection.find(where, limit=_PAGE):
        await collection.delete_many([doc["_id"] for doc in docs])
