"""Ledger, review and approved versions over real gRPC: nothing is lost in silence, a word holds for its texts alone."""

from __future__ import annotations

import hashlib
from itertools import pairwise
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from finetuneflow.dataset.v1 import dataset_service_pb2 as pb
from finetuneflow.dataset.v1 import example_pb2, ledger_pb2, review_pb2
from tests.fakes import llm_server as fake
from tests.fakes.datasets import NAME, dataset_service, examples, generated, rows
from tests.fakes.ingest import library
from tests.fakes.llm_server import Answer, Request, llm

KINDS = [fake.garbage, fake.wrong_schema, fake.truncated, lambda r: Answer("<think>so</think>")]


def mixed(request: Request) -> Answer:
    """Every second reply is garbage of a kind."""
    digest = hashlib.sha256(request.asked.encode()).digest()[0]
    return KINDS[digest // 2 % 4](request) if digest % 2 else fake.fenced(request)


async def steps(stub: Any, name: str = NAME, version: int = 0) -> dict[str, Any]:
    """A dataset's ledger by step, checked: each balances, and from chunks on each begins where the last ended."""
    found = await stub.GetLedger(ledger_pb2.GetLedgerRequest(name=name, version=version))
    for step in found.steps:
        assert getattr(step, "in") == step.out + sum(d.count for d in step.dropped), step
        assert not step.parts or step.out == sum(p.count for p in step.parts)
    chain = [s for s in found.steps if s.step in ("calls", "replies", "checks", "review", "split")]
    assert len(chain) == 5
    assert all(a.out == getattr(b, "in") for a, b in pairwise(chain))
    return {step.step: step for step in found.steps}


def why(step: Any) -> dict[str, int]:
    """What a step dropped, by reason."""
    return {drop.reason: drop.count for drop in step.dropped}


async def review(stub: Any, action: str = "UNSPECIFIED", **fields: Any) -> review_pb2.ReviewExamplesResponse:
    """Say something of examples."""
    wanted = review_pb2.ReviewAction.Value(f"REVIEW_ACTION_{action}")
    return await stub.ReviewExamples(review_pb2.ReviewExamplesRequest(parent=NAME, action=wanted, **fields))


async def freeze(stub: Any, approved_only: bool = False) -> Any:
    """Freeze, and return the newest version."""
    request = pb.FreezeDatasetRequest(name=NAME, approved_only=approved_only)
    return (await stub.FreezeDataset(request)).versions[-1]


async def test_the_ledger_balances_for_bad_replies_edits_deletions_and_freezing(tmp_path: Path) -> None:
    """Files, pages, characters, chunks, calls, replies, checks, review, split: each with reasons and names."""
    documents = library(8)
    documents.files["projects/p/files/f8"] = []
    documents.files["projects/p/files/f9"] = ["# Title"]
    async with llm(mixed) as server, dataset_service(tmp_path, server, documents) as (stub, _):
        dataset = await generated(stub, max_examples=12)
        first = await steps(stub)
        good = await examples(stub)
        bad = await examples(stub, "accepted = false")
        await stub.DeleteExample(pb.DeleteExampleRequest(name=good[0].name))
        await review(stub, "REJECT", names=[good[1].name])
        written = example_pb2.Example(name=bad[0].name, prompt="What is it made of?", response="Brass", accepted=True)
        mask = FieldMask(paths=["prompt", "response", "accepted"])
        await stub.UpdateExample(pb.UpdateExampleRequest(example=written, update_mask=mask))
        touched = await steps(stub)
        await freeze(stub)
        last = await steps(stub)
        kept = await steps(stub, version=1)
        wanted = {"parent": NAME, "step": "replies"}
        page = await stub.ListLedgerRows(ledger_pb2.ListLedgerRowsRequest(**wanted, page_size=2))
        more = ledger_pb2.ListLedgerRowsRequest(**wanted, page_size=500, page_token=page.next_page_token)
        found = [*page.rows, *(await stub.ListLedgerRows(more)).rows]

    assert why(first["files"]) == {"NOT_CHUNKED": 1}
    assert first["files"].dropped[0].rows == ["projects/p/files/f8"]
    assert why(first["pages"]) == {"NO_TEXT": 9}
    assert why(first["characters"]) == {"WHITE_SPACE": 16}
    assert why(first["chunks"]) == {"NO_PASSAGE": 1}
    assert first["chunks"].dropped[0].rows == ["projects/p/files/f9/chunks/c0"]
    assert why(first["calls"])["LIMIT_REACHED"] == dataset.counts[1].dropped[0].count
    assert set(why(first["replies"])) == {"INVALID_JSON", "INVALID_SCHEMA", "TRUNCATED", "EMPTY_REPLY"}
    assert first["split"].out == 12
    assert why(touched["review"]) == {"DELETED_BY_REVIEW": 1, "REJECTED_BY_REVIEW": 1}
    assert why(touched["split"]) == {"NOT_FROZEN": 1}
    assert sum(why(touched["replies"]).values()) == sum(why(first["replies"]).values()) - 1
    assert (last["split"].out, why(last["split"])) == (11, {})
    assert kept["split"].out == 12
    assert len(page.rows) == 2
    assert sorted(r.name for r in found) == sorted(e.name for e in bad[1:])
    assert all(row.reason and row.detail for row in found)


async def test_an_approval_is_lost_with_its_texts_and_rejection_leaves_the_dataset(tmp_path: Path) -> None:
    """By name and by filter; tags and notes too; repeating it changes nothing."""
    async with llm(mixed) as server, dataset_service(tmp_path, server) as (stub, _):
        await generated(stub)
        good = await examples(stub)
        tried = await review(stub, "APPROVE", filter="*", validate_only=True)
        unchanged = await examples(stub, "state = APPROVED")
        done = await review(stub, "APPROVE", filter="accepted = true", add_tags=["b", "a"], note="read")
        again = await review(stub, "APPROVE", filter="accepted = true", add_tags=["b", "a"], note="read")
        await review(stub, "REJECT", names=[good[0].name])
        back = await review(stub, "APPROVE", filter="*", validate_only=True)
        edited = example_pb2.Example(name=good[1].name, response="Something else")
        await stub.UpdateExample(pb.UpdateExampleRequest(example=edited))
        states = {e.name: e.review for e in await examples(stub, "*")}
        approved = await examples(stub, 'state = "APPROVED" AND tag = "a"')
        version = await freeze(stub, approved_only=True)
        ledger = await steps(stub)
        lines = await rows(stub)

    assert (done.matched, done.changed, done.skipped, again.changed) == (len(good), len(good), [], 0)
    assert tried.matched > tried.changed == len(good)
    assert (tried.taken_in, done.taken_in, back.taken_in) == (0, 0, 1)
    assert not unchanged
    assert states[good[0].name].state == review_pb2.REVIEW_STATE_REJECTED
    assert states[good[1].name].state == review_pb2.REVIEW_STATE_UNSPECIFIED
    assert states[good[1].name].lapsed
    assert states[good[2].name].by == "tester"
    assert (list(states[good[2].name].tags), states[good[2].name].note) == (["a", "b"], "read")
    assert version.approved_only
    assert {line["id"] for line in lines} == {e.name for e in approved} == {e.name for e in good[2:]}
    assert why(ledger["split"]) == {"NOT_APPROVED": 1}


async def test_reviews_are_inherited_by_the_same_texts(tmp_path: Path) -> None:
    """Generated again from the same documents: what is as it was keeps its review. What was edited has none, also if it
    was approved after the edit, for the LLM writes the old words again.
    """
    async with llm() as server, dataset_service(tmp_path, server) as (stub, _):
        await generated(stub)
        good = await examples(stub)
        await review(stub, "APPROVE", names=[e.name for e in good[:4]])
        await review(stub, "REJECT", names=[good[5].name])
        for example in (good[0], good[4]):
            edited = example_pb2.Example(name=example.name, response="Something else")
            await stub.UpdateExample(pb.UpdateExampleRequest(example=edited))
        await review(stub, "APPROVE", names=[good[4].name])
        dataset = await generated(stub, "e", inherit_reviews_from=NAME)
        name = dataset.name
        approved = await examples(stub, "state = APPROVED", name)
        rejected = await examples(stub, "state = REJECTED", name)
        lines = await rows(stub, name)

    assert [e.prompt for e in approved] == [e.prompt for e in good[1:4]]
    assert [e.prompt for e in rejected] == [good[5].prompt]
    assert len(lines) == len(good) - 1


async def test_without_an_approved_example_there_is_no_approved_version(tmp_path: Path) -> None:
    """The message says how to approve; a filter or names must be given to say anything."""
    async with llm() as server, dataset_service(tmp_path, server) as (stub, _):
        await generated(stub)

        with pytest.raises(grpc.aio.AioRpcError, match="review --approve"):
            await freeze(stub, approved_only=True)
        with pytest.raises(grpc.aio.AioRpcError, match="Name examples or give a filter"):
            await review(stub, "APPROVE")
        with pytest.raises(grpc.aio.AioRpcError, match="The steps are"):
            await stub.ListLedgerRows(ledger_pb2.ListLedgerRowsRequest(parent=NAME, step="nothing"))
