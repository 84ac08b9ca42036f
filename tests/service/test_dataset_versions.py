"""Versions compared, and documents forgotten, over real gRPC."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc
import pytest

from finetuneflow.dataset.v1 import dataset_service_pb2 as pb
from finetuneflow.dataset.v1 import example_pb2, versions_pb2
from tests.fakes import llm_server as fake
from tests.fakes.datasets import (
    NAME,
    balanced,
    dataset_service,
    drops,
    ended,
    examples,
    generated,
    learnt,
    reason,
    rows,
    state,
)  # fmt: skip
from tests.fakes.ingest import Ingest, library, text
from tests.fakes.llm_server import llm
from tests.service.test_dataset_ledger import freeze, steps, why

FILE = "projects/p/files/f1"


async def differences(stub: Any, **fields: Any) -> versions_pb2.DiffVersionsResponse:
    """Compare two versions."""
    return await stub.DiffVersions(versions_pb2.DiffVersionsRequest(base=NAME, **fields))


async def uses(stub: Any, file: str = FILE) -> list[versions_pb2.Use]:
    """Say who used a file, a dataset a page."""
    found, token = [], ""
    while True:
        page = await stub.ListUses(versions_pb2.ListUsesRequest(file=file, page_size=1, page_token=token))
        found += page.uses
        token = page.next_page_token
        if not token:
            return found


async def forget(stub: Any, **fields: Any) -> Any:
    """Make the dataset forget the file."""
    return await stub.ForgetFile(versions_pb2.ForgetFileRequest(name=NAME, file=FILE, **fields))


async def test_a_diff_names_what_was_added_removed_and_changed(tmp_path: Path) -> None:
    """By example and by messages; the same rows of another dataset are the same."""
    async with llm() as server, dataset_service(tmp_path, server) as (stub, _):
        await generated(stub, recall_fraction=0.0)
        good = await examples(stub)
        await stub.DeleteExample(pb.DeleteExampleRequest(name=good[0].name))
        edited = example_pb2.Example(name=good[1].name, response="Something else")
        await stub.UpdateExample(pb.UpdateExampleRequest(example=edited))
        await freeze(stub)
        forth = await differences(stub)
        back = await differences(stub, base_version=2, other_version=1)
        page = await differences(stub, base_version=1, other_version=2, page_size=1)
        dataset = await generated(stub, "e", recall_fraction=0.0)
        across = await differences(stub, base_version=1, other=dataset.name)
        with pytest.raises(grpc.aio.AioRpcError, match="no version 9"):
            await differences(stub, other_version=9)

    assert (forth.base_version, forth.other_version) == (1, 2)
    assert (forth.added, forth.removed, forth.changed, forth.moved, forth.same) == (0, 1, 1, 0, len(good) - 2)
    assert [(c.kind, c.example) for c in forth.changes] == [
        (versions_pb2.CHANGE_KIND_REMOVED, good[0].name),
        (versions_pb2.CHANGE_KIND_CHANGED, good[1].name),
    ]
    assert (back.added, back.removed, back.changed) == (1, 0, 1)
    assert len(page.changes) == 1
    assert page.next_page_token
    assert (across.added, across.removed, across.changed, across.moved, across.same) == (0, 0, 0, 0, len(good))


async def test_near_duplicates_of_two_documents_stand_on_one_side(tmp_path: Path) -> None:
    """Two editions of a manual go together, whatever is held out."""
    editions = {f"projects/p/files/f{n}": [text(n)] for n in range(5)}
    editions["projects/p/files/again"] = [text(1) + " It was revised in 2024 by another hand altogether, too."]
    async with llm() as server, dataset_service(tmp_path, server, Ingest(editions)) as (stub, _):
        sides = []
        for number, fraction in enumerate((0.1, 0.3, 0.5, 0.8)):
            dataset = await generated(stub, f"d{number}", eval_fraction=fraction, recall_fraction=0.0)
            lines = await rows(stub, dataset.name)
            sides.append({line["source"]["file"]: line["split"] for line in lines})

    assert any("projects/p/files/again" in found for found in sides)
    for found in sides:
        assert set(found.values()) == {"TRAIN", "EVAL"}
        if "projects/p/files/again" in found:
            assert found["projects/p/files/again"] == found["projects/p/files/f1"]


async def test_a_forgotten_document_is_in_no_new_version_and_in_the_ledger(tmp_path: Path) -> None:
    """Its examples are emptied and counted; old versions stay unless they are erased, too."""
    async with llm() as server, dataset_service(tmp_path, server, library(4)) as (stub, _):
        await generated(stub)
        before = await uses(stub)
        dataset = await forget(stub)
        again = await forget(stub)
        lines, old = await rows(stub), await rows(stub, version=1)
        ledger = await steps(stub)
        after = await uses(stub)
        left = await examples(stub, "*")
        erased = await forget(stub, erase_versions=True)
        with pytest.raises(grpc.aio.AioRpcError, match="was erased"):
            await rows(stub, version=1)
        kept = await rows(stub)

    assert [(u.dataset, u.examples, u.accepted) for u in before] == [(NAME, 6, 6)]
    assert list(before[0].chunks) == [f"{FILE}/chunks/c0", f"{FILE}/chunks/c1"]
    assert [(v.version, v.rows) for v in before[0].versions] == [(1, 6)]
    assert before[0].versions[0].sha256 == dataset.versions[0].artifact.sha256
    assert [v.version for v in dataset.versions] == [v.version for v in again.versions] == [1, 2]
    assert list(dataset.forgotten_files) == list(again.forgotten_files) == [FILE]
    assert FILE not in {line["source"]["file"] for line in lines}
    assert len(lines) == len(old) - 6
    assert why(ledger["review"]) == {"DOCUMENT_DELETED": 6}
    assert [(u.examples, u.accepted, [v.version for v in u.versions]) for u in after] == [(0, 0, [1])]
    assert FILE not in {e.chunk.partition("/chunks/")[0] for e in left}
    assert [v.erased for v in erased.versions] == [True, False]
    assert kept == lines


async def test_after_forgetting_a_document_the_counts_are_those_of_what_is_left(tmp_path: Path) -> None:
    """Replies and examples are counted anew, and the balance still holds."""
    async with llm() as server, dataset_service(tmp_path, server, library(4)) as (stub, _):
        before = await generated(stub)
        after = await forget(stub)
        accepted = await examples(stub)

    assert after.counts[-1].out == before.counts[-1].out - 6 == len(accepted)
    assert drops(after) == {**drops(before), "DOCUMENT_DELETED": 6}
    assert balanced(after)


async def test_a_diff_passes_over_what_was_erased(tmp_path: Path) -> None:
    """Without a base, the last version whose bytes are there; if there is none, the document is named."""
    async with llm() as server, dataset_service(tmp_path, server, library(4)) as (stub, _):
        await generated(stub)
        await forget(stub, erase_versions=True)
        with pytest.raises(grpc.aio.AioRpcError, match=f"Version 1 was erased with {FILE}"):
            await differences(stub)
        gone, *_ = await examples(stub)
        await stub.DeleteExample(pb.DeleteExampleRequest(name=gone.name))
        await freeze(stub)
        later = await differences(stub)

    assert (later.base_version, later.other_version, later.removed) == (2, 3, 1)


async def test_generation_that_goes_on_leaves_a_forgotten_document_out(tmp_path: Path) -> None:
    """The file is gone and the rest is made; the ledger says which file is missing and why."""
    documents = library(4)
    some = fake.first(*[fake.good] * 14, then=fake.status(401))
    async with llm(some) as server, dataset_service(tmp_path, server, documents) as (stub, _):
        first = await generated(stub)
        await forget(stub)
        del documents.files[FILE]
        server.script = fake.good
        await stub.ResumeDataset(pb.ResumeDatasetRequest(name=NAME))
        dataset = await ended(stub)
        ledger = await steps(stub)
        lines = await rows(stub)

    assert reason(first) == "LLM_UNAVAILABLE"
    assert state(dataset) == "SUCCEEDED"
    assert len(learnt(lines)) == 18
    assert why(ledger["files"]) == {"DOCUMENT_DELETED": 1}
    assert ledger["files"].dropped[0].rows == [FILE]
