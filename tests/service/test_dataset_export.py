"""A frozen version in the forms that other programs read, over gRPC."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
import pytest_asyncio

from finetuneflow.dataset.v1 import dataset_pb2, example_pb2
from finetuneflow.dataset.v1 import transfer_pb2 as pb
from services.dataset import lines
from tests.fakes.datasets import NAME, dataset_service, generated, rows
from tests.fakes.llm_server import llm

FORMATS = ("ALPACA", "SHAREGPT", "MESSAGES", "PROMPT_COMPLETION")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def stub(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Any]:
    """A service with one generated dataset."""
    async with llm() as server, dataset_service(tmp_path_factory.mktemp("state"), server) as (stub, _):
        await generated(stub, system_prompt="Answer from the handbook.")
        yield stub


async def exported(stub: Any, **wanted: Any) -> tuple[pb.ExportedFile, bytes]:
    """Export the dataset."""
    parts = [part async for part in stub.ExportDataset(pb.ExportDatasetRequest(name=NAME, **wanted))]
    return parts[0].file, b"".join(part.data for part in parts[1:])


def said(format: str, row: dict[str, Any]) -> list[str]:
    """Return what a row of a format says: system, question, answer."""
    if format == "ALPACA":
        return [row["system"], row["instruction"], row["output"]]
    if format == "SHAREGPT":
        return [turn["value"] for turn in row["conversations"]]
    turns = row["messages"] if format == "MESSAGES" else [*row["prompt"], *row["completion"]]
    return [turn["content"] for turn in turns]


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("format", FORMATS)
async def test_a_format_says_what_the_frozen_version_says(stub: Any, format: str) -> None:
    """In order, with the system message, whole and with its hash; in is out and dropped."""
    file, data = await exported(stub, format=f"DATASET_FORMAT_{format}")
    frozen = [[m["content"] for m in line["messages"]] for line in await rows(stub)]
    again, _ = await exported(stub, format=f"DATASET_FORMAT_{format}")

    assert [said(format, json.loads(line)) for line in data.decode().splitlines()] == frozen
    assert (file.size_bytes, file.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert getattr(file.count, "in") == file.count.out == len(frozen)
    assert again == file
    assert file.filename == f"d-v1.{format.lower().replace('_', '-')}.jsonl"


@pytest.mark.asyncio(loop_scope="module")
async def test_a_split_of_it_has_those_examples_only(stub: Any) -> None:
    """The others are counted as left out."""
    file, data = await exported(stub, split=example_pb2.SPLIT_EVAL, with_source=True)
    found = [json.loads(line) for line in data.decode().splitlines()]

    assert {row["split"] for row in found} == {"EVAL"}
    assert [(d.reason, d.count) for d in file.count.dropped] == [
        ("OTHER_SPLIT", getattr(file.count, "in") - len(found))
    ]


@pytest.mark.asyncio(loop_scope="module")
async def test_csv_has_a_header_and_provenance_beside_the_texts(stub: Any) -> None:
    """Line breaks, commas and quotes come back as they were."""
    file, data = await exported(
        stub, format=dataset_pb2.DATASET_FORMAT_ALPACA, encoding=dataset_pb2.DATASET_ENCODING_CSV, with_source=True
    )
    found = list(csv.DictReader(io.StringIO(data.decode(), newline="")))
    frozen = await rows(stub)

    assert list(found[0]) == list(file.columns)
    assert [r["output"] for r in found] == [line["messages"][-1]["content"] for line in frozen]
    assert [r["source_evidence"] for r in found] == [line["source"]["evidence"] for line in frozen]
    assert [r["id"] for r in found] == [line["id"] for line in frozen]


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("format", [dataset_pb2.DATASET_FORMAT_PREFERENCE, dataset_pb2.DATASET_FORMAT_KTO])
async def test_what_a_dataset_does_not_have_is_not_made_up(
    stub: Any, format: dataset_pb2.DatasetFormat.ValueType
) -> None:
    """Preferences and verdicts come from people or from a file, never from nothing."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await exported(stub, format=format)

    assert caught.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    assert "messages" in (caught.value.details() or "")


@pytest.mark.asyncio(loop_scope="module")
async def test_parquet_begins_and_ends_as_such(stub: Any) -> None:
    """It is a whole file, smaller than the JSON Lines beside it would be when it grows."""
    file, data = await exported(stub, encoding=dataset_pb2.DATASET_ENCODING_PARQUET)

    assert (data[:4], data[-4:]) == (b"PAR1", b"PAR1")
    assert list(file.columns) == ["messages"]


async def test_versions_and_exports_are_put_together_in_the_services_own_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is emptied at each start, which the system's is not."""
    made: list[Path] = []

    def noted(dir: Path) -> str:
        made.append(dir)
        return tempfile.mkdtemp(dir=dir)

    monkeypatch.setattr(lines, "tempfile", SimpleNamespace(mkdtemp=noted))
    async with llm() as server, dataset_service(tmp_path, server) as (stub, _):
        await generated(stub)
        await exported(stub)

    assert made == [tmp_path / "dataset" / "scratch"] * 2
    assert list(made[0].iterdir()) == []
