"""The client's commands about a dataset's examples and versions, against the dataset service."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from finetuneflow_client.errors import FtfError
from tests.fakes.commands import Client
from tests.fakes.datasets import dataset_service, examples, generated
from tests.fakes.ingest import library
from tests.fakes.llm_server import llm
from tests.service.test_dataset_versions import forget


@asynccontextmanager
async def two_datasets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> AsyncIterator[tuple[object, Client]]:
    """Datasets d and, newer, e, with an example from each of four documents' sentences; and a client."""
    async with llm() as server, dataset_service(tmp_path, server, library(4)) as (stub, served):
        await generated(stub)
        await generated(stub, "e", max_examples=2)
        yield stub, Client(tmp_path, served.address, capsys, "--project", "p")


async def test_a_review_names_its_dataset_as_other_commands_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As the word after the command with a filter; otherwise the newest. Two, or nothing, are refused."""
    async with two_datasets(tmp_path, capsys) as (stub, ftf):
        newest = await ftf.plain("dataset", "review", "--filter", "*", "--approve", "--dry-run")
        named = await ftf.plain("dataset", "review", "d", "--filter", "*", "--approve")
        first = (await examples(stub))[0].name.rpartition("/")[2]
        by_id = await ftf.plain("dataset", "review", first, "-d", "d", "--reject")
        with_dataset = await ftf.plain("dataset", "review", f"d/{first}", "--reset")
        with pytest.raises(FtfError, match="not for d and e"):
            await ftf.plain("dataset", "review", "d", "e", "--filter", "*", "--approve")
        with pytest.raises(FtfError, match="no example is meant"):
            await ftf.plain("dataset", "review", "--approve")

    assert newest == "2 examples meant, 2 would change\n"
    assert named.startswith("24 examples meant")
    assert by_id == with_dataset == "1 example meant, 1 changed\n"


async def test_fewer_examples_than_were_wanted_are_said_with_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where all that was planned has been asked; not where as many came as were wanted."""
    async with llm() as server, dataset_service(tmp_path, server, library(2)) as (_, served):
        session = Client(tmp_path, served.address, capsys, "--project", "p")
        few = await session.told("dataset", "generate", "--max-examples", "500")
        enough = await session.told("dataset", "generate", "--max-examples", "2")

    assert " of 500 examples that were wanted: nothing is left to ask." in few[1]
    assert "wanted" not in enough[1]


async def test_freezing_says_what_is_in_the_version_and_cancelling_that_nothing_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also with approved examples alone; a dataset that has ended says so when it is cancelled."""
    async with two_datasets(tmp_path, capsys) as (_, ftf):
        await ftf.plain("dataset", "review", "d", "--filter", "*", "--approve")
        _, frozen = await ftf.told("dataset", "freeze", "d", "--approved-only")
        shown, said = await ftf.told("dataset", "cancel", "d")

    assert "frozen as version 2: " in frozen
    assert "approved examples to train on" in frozen
    assert "succeeded" in shown
    assert "succeeded; there is nothing to cancel" in said


async def test_what_was_unlearned_is_shown_no_more(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`list` and `show` tell what is there now; a version that was erased has no sides."""
    async with two_datasets(tmp_path, capsys) as (stub, ftf):
        before = await ftf.json("dataset", "show", "d")
        await forget(stub, erase_versions=True)
        listed = await ftf.plain("dataset", "list")
        shown = await ftf.plain("dataset", "show", "d")
        with pytest.raises(FtfError, match="was erased with projects/p/files/f1"):
            await ftf.plain("dataset", "diff", "d")

    accepted = int(before["counts"][-1]["out"])
    (row,) = [line.split() for line in listed.splitlines() if line.startswith("d ")]
    assert str(accepted - 6) in row
    assert str(accepted) not in row
    assert "1: erased with a document, sha256" in shown
    assert "DOCUMENT_DELETED 6" in shown


async def test_the_documents_own_text_is_made_and_shown_without_an_llm(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By `generate --task text`; a dry run makes nothing, and a preview says why there is none."""
    async with dataset_service(tmp_path, None, library(3)) as (_, served):
        ftf = Client(tmp_path, served.address, capsys, "--project", "p")
        dry = await ftf.plain("dataset", "generate", "--task", "text", "--dry-run")
        made = await ftf.json("dataset", "generate", "--task", "text", "--id", "t")
        shown = await ftf.plain("dataset", "show", "t")
        listed = await ftf.plain("dataset", "examples", "t", "--limit", "1")
        with pytest.raises(FtfError, match="nothing to preview"):
            await ftf.plain("dataset", "preview", "--task", "text")
        with pytest.raises(FtfError, match="personas has no meaning"):
            await ftf.plain("dataset", "generate", "--task", "text", "--persona", "a clerk")

    assert "3 files; no LLM is asked" in dry
    assert (made["kind"], made["counts"][-1]["out"]) == ("DATASET_KIND_TEXT", "6")
    assert "raw text of documents, without an LLM" in shown
    assert "weighs" in listed
    assert "prompt" not in listed
