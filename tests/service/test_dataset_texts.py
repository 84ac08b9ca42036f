"""Datasets of raw text: the project's documents as they are, without an LLM."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import grpc
import pytest

from finetuneflow.dataset.v1 import dataset_pb2, ledger_pb2, versions_pb2
from finetuneflow.dataset.v1 import dataset_service_pb2 as pb
from finetuneflow.ingest.v1 import chunk_pb2
from tests.fakes.datasets import (
    NAME,
    PROJECT,
    balanced,
    dataset_service,
    drops,
    examples,
    generated,
    reason,
    rows,
    state,
    wanted,
)
from tests.fakes.ingest import Ingest, library
from tests.fakes.ingest import text as facts
from tests.fakes.transfers import exported

TEXT = dataset_pb2.TASK_TYPE_TEXT
FILE = f"{PROJECT}/files/f0"


@dataclass
class Overlapping(Ingest):
    """Files on pages, of which each chunk begins with the last 30 characters of the one before."""

    def chunks(self, name: str) -> list[chunk_pb2.Chunk]:
        """Return a file's chunks."""
        found = super().chunks(name)
        for before, chunk in pairwise(found):
            span = chunk_pb2.Span(start=before.spans[-1].end - 30, end=before.spans[-1].end)
            chunk.spans.insert(0, span)
            chunk.text = self.files[name][before.index][-30:] + chunk.text
        for number, chunk in enumerate(found, 1):
            for place in chunk.places:
                place.page = number
        return found


async def steps(stub: Any) -> dict[str, ledger_pb2.LedgerStep]:
    """Return the ledger's steps by name."""
    found = await stub.GetLedger(ledger_pb2.GetLedgerRequest(name=NAME))
    return {step.step: step for step in found.steps}


async def test_the_projects_chunks_become_rows_of_raw_text_with_their_origin(tmp_path: Path) -> None:
    """No endpoint is there; every part of a document stands in one row; documents are wholly on one side."""
    ingest = Overlapping(library(6, chunks=3).files)
    async with dataset_service(tmp_path, ingest=ingest) as (stub, _):
        dataset = await generated(stub, task_type=TEXT, eval_fraction=0.3)
        lines, made = await rows(stub), await steps(stub)
        written = await exported(stub, format="text")

    version = dataset.versions[0]
    sides: dict[str, set[str]] = {}
    for line in lines:
        sides.setdefault(line["source"]["file"], set()).add(line["split"])
    texts = sorted(line["messages"][-1]["content"] for line in lines)
    assert (state(dataset), dataset.kind, dataset.usage.calls) == ("SUCCEEDED", dataset_pb2.DATASET_KIND_TEXT, 0)
    assert texts == sorted(text for chunks in ingest.files.values() for text in chunks)
    assert all(line["raw"] and line["source"]["chunk"].startswith(line["source"]["file"]) for line in lines)
    assert {tuple(line["source"]["pages"]) for line in lines} == {(1,), (2,), (3,)}
    assert all(len(found) == 1 for found in sides.values())
    assert (version.train_examples > 0, version.eval_examples > 0, version.recall_examples) == (True, True, 0)
    assert balanced(dataset)
    assert list(made) == ["files", "pages", "characters", "chunks", "checks", "review", "split"]
    assert made["characters"].out == sum(map(len, texts))
    assert all(getattr(step, "in") == step.out + sum(d.count for d in step.dropped) for step in made.values())
    assert sorted(json.loads(line)["text"] for line in written.splitlines()) == texts


async def test_personal_data_doubles_and_canaries_are_dealt_with_as_the_settings_say(tmp_path: Path) -> None:
    """Masked, withheld or dropped, each counted with its reason, in the ledger too."""
    mail = facts(3) + " Write to ada@example.org about it."
    card = facts(4) + " The card is 4111 1111 1111 1111."
    files = {
        FILE: [facts(0), mail, card],
        f"{PROJECT}/files/f1": [facts(1), facts(0), facts(0).replace("first sold", "firstly sold")],
        f"{PROJECT}/files/f2": [facts(2), facts(5) + " zebra-canary-77"],
    }
    mask, drop = dataset_pb2.PII_ACTION_MASK, dataset_pb2.PII_ACTION_DROP
    async with dataset_service(tmp_path, ingest=Ingest(files)) as (stub, _):
        dataset = await generated(
            stub, task_type=TEXT, pii_policy={"EMAIL": mask, "CREDIT_CARD": drop}, canaries=["zebra-canary-77"]
        )
        lines, made = await rows(stub), await steps(stub)

    texts = {line["messages"][-1]["content"] for line in lines}
    assert drops(dataset) == {"PERSONAL_DATA": 1, "DUPLICATE": 1, "NEAR_DUPLICATE": 1, "CANARY": 1}
    assert texts == {facts(0), facts(1), facts(2), mail.replace("ada@example.org", "[EMAIL_1]")}
    assert dict(dataset.flags) == {"PII_EMAIL": 1}
    assert list(made["chunks"].dropped[0].rows) == [f"{FILE}/chunks/c2"]
    assert (getattr(made["checks"], "in"), made["checks"].out) == (7, 4)


async def test_a_document_is_forgotten_and_the_dataset_deleted_as_any_other(tmp_path: Path) -> None:
    """A new version is without its rows, the old one's bytes are gone, and so is its text in the examples."""
    async with dataset_service(tmp_path, ingest=library(3)) as (stub, _):
        await generated(stub, task_type=TEXT)
        request = versions_pb2.ForgetFileRequest(name=NAME, file=FILE, erase_versions=True)
        dataset = await stub.ForgetFile(request)
        lines, left = await rows(stub), await examples(stub, "*")
        await stub.DeleteDataset(pb.DeleteDatasetRequest(name=NAME))
        with pytest.raises(grpc.aio.AioRpcError) as gone:
            await stub.GetDataset(pb.GetDatasetRequest(name=NAME))

    assert [version.erased for version in dataset.versions] == [True, False]
    assert {line["source"]["file"] for line in lines} == {f"{PROJECT}/files/f1", f"{PROJECT}/files/f2"}
    assert not any(facts(0) in example.response for example in left)
    assert gone.value.code() == grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize(
    ("ingest", "spec", "code", "word"),
    [
        (Ingest({}), {}, grpc.StatusCode.FAILED_PRECONDITION, "ftf chunk"),
        (Ingest({FILE: []}), {"files": [FILE]}, grpc.StatusCode.FAILED_PRECONDITION, "ftf chunk"),
        (library(1), {"files": [f"{PROJECT}/files/none"]}, grpc.StatusCode.NOT_FOUND, "none"),
        (library(1), {"temperature": 0.5}, grpc.StatusCode.INVALID_ARGUMENT, "temperature"),
    ],
    ids=["empty project", "not cut", "no such file", "setting for an LLM"],
)
async def test_what_cannot_be_is_refused_before_anything_is_made(
    tmp_path: Path, ingest: Ingest, spec: dict[str, Any], code: grpc.StatusCode, word: str
) -> None:
    """With the status, and a remedy in the message."""
    async with dataset_service(tmp_path, ingest=ingest) as (stub, _):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.CreateDataset(wanted(task_type=TEXT, **spec))

    assert refused.value.code() == code
    assert word in str(refused.value.details())


async def test_without_a_row_left_it_fails_and_says_where_to_look(tmp_path: Path) -> None:
    """A policy that withholds every chunk leaves nothing to learn."""
    ingest = Ingest({FILE: ["Write to ada@example.org.", "Or to bob@example.org."]})
    async with dataset_service(tmp_path, ingest=ingest) as (stub, _):
        dataset = await generated(stub, task_type=TEXT, pii_policy={"*": dataset_pb2.PII_ACTION_DROP})
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.FreezeDataset(pb.FreezeDatasetRequest(name=NAME))

    assert (state(dataset), reason(dataset)) == ("FAILED", "NO_ACCEPTED_EXAMPLES")
    assert drops(dataset) == {"PERSONAL_DATA": 2}
    assert refused.value.code() == grpc.StatusCode.FAILED_PRECONDITION
