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

IMPORT = "dataset import rows.jsonl --id own"
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
    assert "row 2, answer: EMPTY_FIELD" in made[2]
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
    assert "s is listed as failed: import the corrected file with `--id s`, which takes its place" in strict[2]
    assert "--map" in unknown[2]
    assert "row 1, instruction: MISSING_FIELD" in strict[2]
    assert "ftf dataset problems s" in strict[2]
    assert "cannot read none.jsonl" in none[2]
    assert "--map prompt=question,response=answer" in mapped[2]


async def test_a_document_is_no_file_of_examples(ftf: Ftf, tmp_path: Path) -> None:
    """It is refused as what it is, with the forms that are imported and the command for documents; nothing is made."""
    (tmp_path / "page.html").write_text("\n <!DOCTYPE html>\n<p>One, two</p>\n")
    (tmp_path / "notes.md").write_text("# Notes\n\nOne, two\n")
    async with dataset_service(tmp_path / "state") as (_, served):
        page = await ftf(served, "dataset", "import", "page.html", "--id", "own")
        notes = await ftf(served, "dataset", "import", "notes.md", "--id", "notes")
        listed = json.loads((await ftf(served, "dataset", "list", "--json"))[1])

    assert page[0] == exits.USAGE
    assert "'page.html' is a web page — imported are files of examples: JSON Lines," in page[2]
    assert "`ftf upload`" in page[2]
    assert "`ftf upload`" in notes[2]
    assert [dataset["name"] for dataset in listed["datasets"]] == ["projects/p/datasets/notes"]


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


async def typed(ftf: Ftf, served: Served, line: str) -> tuple[int, str, str]:
    """Run a command as it is typed, without quotes."""
    return await ftf(served, *line.split())


async def test_names_of_columns_that_are_wrong_are_named(ftf: Ftf, tmp_path: Path) -> None:
    """With those that the file has; what is wrong with a row names the file's own column."""
    (tmp_path / "qa.csv").write_text("question,answer\nWho?,Me.\nWhat?,\n")
    (tmp_path / "rows.jsonl").write_bytes(lines([{"prompt": "Who?", "completion": "Me.", "worse": "You."}]))
    async with dataset_service(tmp_path / "state") as (_, served):
        no_source = await typed(ftf, served, "dataset import qa.csv --map prompt=frage,response=answer")
        with_format = await typed(
            ftf, served, "dataset import qa.csv --format alpaca --map instruction=q,output=answer"
        )
        no_target = await typed(ftf, served, "dataset import rows.jsonl --map rejected=worse")
        no_split = await typed(ftf, served, "dataset import rows.jsonl --split-column part")
        row = await typed(ftf, served, "dataset import qa.csv --map prompt=question,response=answer")

    for code, _, said in (no_source, with_format):
        assert code == exits.FAILED
        assert ", only answer, question" in said
    assert 'no column "frage"' in no_source[2]
    assert "rejected is mapped, which prompt-completion does not have" in no_target[2]
    assert 'no column "part"' in no_split[2]
    assert row[0] == exits.OK
    assert "row 2, answer: EMPTY_FIELD: answer is empty" in row[2]


async def test_the_id_of_an_import_that_failed_takes_another_file(ftf: Ftf, tmp_path: Path) -> None:
    """One that succeeded keeps its id, until it is deleted."""
    (tmp_path / "other.jsonl").write_bytes(lines([{"q": 1}]))
    (tmp_path / "rows.jsonl").write_bytes(lines([{"prompt": "Who?", "completion": "Me."}]))
    async with dataset_service(tmp_path / "state") as (_, served):
        failed = await typed(ftf, served, "dataset import other.jsonl --id own")
        replaced = await typed(ftf, served, IMPORT)
        taken = await typed(ftf, served, IMPORT)
        await typed(ftf, served, "dataset delete own --yes")
        again = await typed(ftf, served, IMPORT)

    assert failed[0] == exits.FAILED
    assert (replaced[0], taken[0], again[0]) == (exits.OK, exits.NOT_READY, exits.OK)
    assert "choose another id" in taken[2]


async def test_a_file_that_is_not_there_has_the_same_code_everywhere(ftf: Ftf, tmp_path: Path) -> None:
    """Wrong paths are wrong usage; folders of files to write are made, and one that cannot be is said plainly."""
    (tmp_path / "rows.jsonl").write_bytes(lines([{"prompt": "Who?", "completion": "Me."}, {"prompt": "Who?"}]))
    (tmp_path / "file").write_text("")
    async with dataset_service(tmp_path / "state") as (_, served):
        missing = await typed(ftf, served, "dataset import none.jsonl")
        uploaded = await typed(ftf, served, "upload none.pdf")
        await typed(ftf, served, "dataset import rows.jsonl --id one")
        written = await typed(ftf, served, "dataset problems one -o new/problems.jsonl")
        barred = [
            await typed(ftf, served, f"dataset {what} one -o file/x")
            for what in ("problems", "download", "download --format alpaca")
        ]

    assert missing[0] == uploaded[0] == exits.USAGE
    assert "cannot read none.pdf" in uploaded[2]
    assert written[0] == exits.OK
    assert json.loads((tmp_path / "new" / "problems.jsonl").read_text())["row"] == 2
    assert [code for code, _, _ in barred] == [exits.FAILED] * 3
    assert all("cannot write file/x" in said for _, _, said in barred)
