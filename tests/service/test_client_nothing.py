"""The client's commands about a dataset that has nothing, against the dataset service."""

from __future__ import annotations

from pathlib import Path

import pytest

from finetuneflow_client.errors import FtfError
from tests.fakes.commands import Client
from tests.fakes.datasets import dataset_service, generated, state
from tests.fakes.ingest import library
from tests.fakes.llm_server import llm
from tests.fakes.transfers import imported


async def test_a_failed_import_shows_that_it_has_nothing_and_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every command that has nothing to show says so, and none tells to wait for what will not come."""
    async with dataset_service(tmp_path, None, library(1)) as (stub, served):
        ftf = Client(tmp_path, served.address, capsys, "--project", "p")
        failed = await imported(stub, b'{"a": 1}\n')
        said = [
            (await ftf.told("dataset", *words.split()))[1]
            for words in ("examples d", "stats d", "ledger d", f"report d -o {tmp_path / 'r'}", "examples d --json")
        ]
        with pytest.raises(FtfError, match=r"was not imported.*mport the file again"):
            await ftf.plain("dataset", "diff", "d")
        for form in ((), ("--format", "alpaca")):
            with pytest.raises(FtfError, match=r"no frozen version.* was not imported") as refused:
                await ftf.plain("dataset", "download", "d", *form)
            assert "mport the file again" in f"{refused.value.message} {refused.value.remedy}"
        with pytest.raises(FtfError, match="every dataset failed without an example: d"):
            await ftf.plain("dataset", "review", "--filter", "*", "--approve")

    assert state(failed) == "FAILED"
    assert [line.startswith("no examples: projects/p/datasets/d has none") for line in said] == [True] * 5


async def test_a_filter_that_nothing_passes_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With the dataset that was taken, and the filter."""
    async with llm() as server, dataset_service(tmp_path, server, library(1)) as (stub, served):
        await generated(stub)
        ftf = Client(tmp_path, served.address, capsys, "--project", "p")
        out, said = await ftf.told("dataset", "review", "--filter", 'tag = "none"', "--approve")
        _, examples = await ftf.told("dataset", "examples", "--filter", 'tag = "none"')

    lines = [
        "the newest dataset: projects/p/datasets/d",
        'no examples: projects/p/datasets/d has none with tag = "none"',
    ]
    assert out == "0 examples meant, 0 changed\n"
    assert said.splitlines() == examples.splitlines() == lines
