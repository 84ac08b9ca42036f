"""`ftf dataset import`, `problems` and `download` against the real dataset service."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from finetuneflow_client.cli import exits
from finetuneflow_client.cli.grammar.parser import build
from finetuneflow_client.cli.main import connected, report
from tests.fakes.datasets import dataset_service
from tests.fakes.running import TOKEN, Served
from tests.fakes.transfers import lines

Ftf = Callable[..., Awaitable[tuple[int, str, str]]]


@pytest.fixture
def ftf(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Ftf:
    """Run a command in this process and return its code and what it wrote."""
    for name in ("FTF_PROJECT", "FTF_SERVER", "FTF_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "token").write_text(TOKEN)

    async def run(served: Served, *words: str) -> tuple[int, str, str]:
        flags = ["--server", served.address, "--token-file", str(tmp_path / "token"), "--project", "p"]
        args = build().parse_args([*words, *flags])
        try:
            code = await connected(args.command, args)
        except Exception as error:
            code = report(error)
        written = capsys.readouterr()
        return code, written.out, written.err

    return run


async def test_a_file_of_ones_own_becomes_a_dataset_and_another_file(ftf: Ftf, tmp_path: Path) -> None:
    """Columns are mapped, bad rows are told on the way, and what comes out is what went in."""
    (tmp_path / "qa.csv").write_text('question,answer,topic\n"How, then?","So.",x\nWho?,,x\nWhy?,Because.,x\n')
    async with dataset_service(tmp_path / "state") as (_, served):
        made = await ftf(
            served, *["dataset", "import", "qa.csv", "--id", "own", "--map", "prompt=question,response=answer"]
        )
        problems = await ftf(served, "dataset", "problems", "own", "--json")
        shown = await ftf(served, "dataset", "show", "own")
        examples = await ftf(served, "dataset", "examples", "own")
        wanted = "dataset download own --format sharegpt --as jsonl -o out.jsonl"
        downloaded = await ftf(served, *wanted.split())
        found = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]

    assert made[0] == exits.OK
    assert "row 2, completion: EMPTY_FIELD" in made[2]
    assert "columns not used: topic" in made[2]
    assert [p["row"] for p in json.loads(problems[1])["problems"]] == [2]
    assert "imported  qa.csv" in shown[1]
    assert "How, then?" in examples[1]
    assert downloaded[0] == exits.OK
    assert sorted(row["conversations"][0]["value"] for row in found) == ["How, then?", "Why?"]


async def test_a_refused_file_says_why(ftf: Ftf, tmp_path: Path) -> None:
    """The reason and what to do, with the code of work that failed."""
    (tmp_path / "rows.jsonl").write_bytes(lines([{"q": 1}]))
    async with dataset_service(tmp_path / "state") as (_, served):
        unknown = await ftf(served, "dataset", "import", "rows.jsonl")
        strict = await ftf(served, "dataset", "import", "rows.jsonl", "--strict", "--format", "alpaca", "--id", "s")
        none = await ftf(served, "dataset", "import", "none.jsonl")
        mapped = await ftf(served, "dataset", "import", "rows.jsonl", "--map", "prompt")

    assert unknown[0] == strict[0] == exits.FAILED
    assert "--map" in unknown[2]
    assert "row 1, instruction: MISSING_FIELD" in strict[2]
    assert "ftf dataset problems s" in strict[2]
    assert "cannot read none.jsonl" in none[2]
    assert "--map prompt=question,response=answer" in mapped[2]


async def test_parquet_goes_out_and_in(ftf: Ftf, tmp_path: Path) -> None:
    """With provenance and by sides, as flags ask; the hash that is told is the file's."""
    rows: list[dict[str, Any]] = [{"prompt": f"Q{n}?", "completion": "A", "part": "test"} for n in range(3)]
    (tmp_path / "rows.jsonl").write_bytes(lines([*rows, {"prompt": "T?", "completion": "A", "part": "train"}]))
    async with dataset_service(tmp_path / "state") as (_, served):
        await ftf(served, *["dataset", "import", "rows.jsonl", "--id", "one", "--split-column", "part"])
        words = "dataset download one --format alpaca --as parquet --with-source --split eval --json"
        made = json.loads((await ftf(served, *words.split()))[1])
        again = await ftf(served, *f"dataset import {made['filename']} --id two --split-column split".split())
        shown = json.loads((await ftf(served, "dataset", "show", "two", "--json"))[1])

    assert made["count"]["out"] == "3"
    assert again[0] == exits.OK
    assert shown["versions"][0]["eval_examples"] == 3
    assert shown["imported"]["encoding"] == "DATASET_ENCODING_PARQUET"
