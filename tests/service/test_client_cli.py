"""The command `ftf` against a real gRPC server: what it prints, what it exits with, and that it can be repeated."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from finetuneflow.common.v1 import work_pb2
from finetuneflow.dataset.v1 import dataset_pb2, example_pb2
from finetuneflow.ingest.v1 import project_pb2
from finetuneflow.training.v1 import config_pb2, evaluation_pb2, run_pb2
from finetuneflow_client import FineTuneFlow
from finetuneflow_client.cli import exits
from finetuneflow_client.cli.grammar.parser import COMMANDS, build
from finetuneflow_client.cli.main import connected, report
from finetuneflow_client.cli.settings import training_config
from finetuneflow_client.discovery import process_start
from finetuneflow_client.downloads import download_attestation
from finetuneflow_client.errors import FtfError
from tests.fakes.client_server import TOKEN, Serving, served
from tests.fakes.client_world import World

FTF = [sys.executable, "-m", "finetuneflow_client.cli.main"]


@dataclass
class Result:
    """What a command left."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """stdout as one JSON document."""
        return json.loads(self.out)


Ftf = Callable[..., Awaitable[Result]]


@pytest.fixture
def ftf(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Ftf:
    """Run a command in this process, as main does, on the loop that the server runs on."""
    for name in ("FTF_PROJECT", "FTF_SERVER", "FTF_TOKEN", "FTF_LLM_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)

    async def run(server: Serving, *words: str) -> Result:
        args = build().parse_args([*words, *server.flags(tmp_path)])
        try:
            code = await connected(args.command, args)
        except Exception as error:
            code = report(error)
        out, err = capsys.readouterr()
        return Result(code, out, err)

    return run


def world(**fields: Any) -> World:
    """Return a world with one project."""
    return World(projects={"projects/p": project_pb2.Project(name="projects/p", display_name="P")}, **fields)


def documents(folder: Path) -> Path:
    """Write two documents and return their folder."""
    (folder / "docs").mkdir(exist_ok=True)
    (folder / "docs" / "a.md").write_text("# Alpha\n")
    (folder / "docs" / "b.txt").write_text("Beta\n")
    return folder / "docs"


async def test_a_command_finds_the_server_of_this_machine_by_its_state_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing needs to be said after `ftf up`."""
    async with served(world()) as server:
        server.announce(tmp_path / "state")
        args = build().parse_args(["status", "--state", str(tmp_path / "state")])
        code = await connected(args.command, args)

    assert code == exits.OK
    assert f"server    {server.address}" in capsys.readouterr().out


async def test_the_only_project_is_the_current_one(ftf: Ftf, monkeypatch: pytest.MonkeyPatch) -> None:
    """With several the error names the choices; with none it says how to make one."""
    async with served(World()) as server:
        none = await ftf(server, "files")
        await ftf(server, "project", "create", "one")
        only = await ftf(server, "files")
        await ftf(server, "project", "create", "two")
        several = await ftf(server, "files")
        flag = await ftf(server, "files", "-p", "two")
        monkeypatch.setenv("FTF_PROJECT", "one")
        environment = await ftf(server, "files")

    assert (none.code, none.err) == (4, "ftf: there is no project — create one with `ftf project create NAME`\n")
    assert (only.code, flag.code, environment.code) == (0, 0, 0)
    assert (several.code, several.err) == (2, "ftf: there are 2 projects — choose one with -p: one, two\n")


async def test_one_bad_document_does_not_stop_the_others(ftf: Ftf, tmp_path: Path) -> None:
    """Each gets its own line with the remedy; the exit code says that not all went well."""
    docs = documents(tmp_path)
    (docs / "c.exe").write_text("x")
    (docs / "scan.pdf").write_text("scan")
    async with served(world()) as server:
        result = await ftf(server, "upload", *map(str, sorted(docs.iterdir())))
        listed = await ftf(server, "files", "--json")

    assert result.code == exits.FAILED
    assert "ftf: c.exe is of no known type — send PDF, DOCX, TXT or Markdown\n" in result.err
    assert "scan.pdf: The document has no text — run OCR over it first\n" in result.err
    assert "a.md: 1 page, 8 characters\n" in result.err
    assert [file["display_name"] for file in listed.json["files"]] == ["a.md", "b.txt", "scan.pdf"]


async def test_a_folder_stands_for_the_documents_in_it(ftf: Ftf, tmp_path: Path) -> None:
    """Hidden files and other types are not sent."""
    docs = documents(tmp_path)
    (docs / ".hidden.md").write_text("x")
    (docs / "notes.exe").write_text("x")
    async with served(world()) as server:
        result = await ftf(server, "upload", str(docs), "--json")

    assert (result.code, [f["display_name"] for f in result.json["files"]]) == (0, ["a.md", "b.txt"])


async def filled(server: Serving, ftf: Ftf, tmp_path: Path) -> None:
    """Walk the flow, so that there is something of everything."""
    for words in (
        "model add ./smollm",
        f"upload {documents(tmp_path)}",
        "chunk --model smollm --max-tokens 64",
        "llm create local --url http://127.0.0.1:9/v1 --llm-model tiny",
        "dataset generate --id d1",
        "train --id r1 --watch",
        "export --id x1",
    ):
        result = await ftf(server, *words.split())
        assert result.code == 0, result.err
    file = next(iter(server.world.files))
    server.world.examples["projects/p/datasets/d1/examples/e1"] = example_pb2.Example(
        name="projects/p/datasets/d1/examples/e1", chunk=f"{file}/chunks/c0", prompt="How many?", response="Ten."
    )


async def test_the_flow_by_hand_needs_no_names_typed_twice(ftf: Ftf, tmp_path: Path) -> None:
    """Each step takes up the newest of the step before; results can be JSON at each."""
    async with served(world()) as server:
        await filled(server, ftf, tmp_path)
        shown = {
            words: await ftf(server, *words.split(), "--json")
            for words in (
                "project list", "project show", "model list", "model show smollm", "files", "files a.md", "chunks a.md",
                "chunks a.md --gaps", "chunk --preview a.md --show 3",
                "llm list", "dataset list", "dataset show", "dataset stats", "dataset examples", "dataset preview",
                "hardware", "hardware --model smollm --r 4", "runs", "runs r1", "watch r1", "exports", "exports x1",
                "trace exports/x1", "trace datasets/d1/examples/e1", "status", "train --dry-run", "cancel r1",
            )
        }  # fmt: skip
        report = await ftf(server, "report")
        downloaded = await ftf(server, "download", "-o", str(tmp_path / "out"))

    assert {words: (r.code, r.err) for words, r in shown.items() if r.code} == {}
    assert all(isinstance(result.json, dict) for result in shown.values())
    assert shown["runs"].json["runs"][0]["config"]["lora"]["r"] == 8
    assert shown["hardware --model smollm --r 4"].json["recommendation"]["config"]["lora"]["r"] == 4
    assert list(shown["trace exports/x1"].json) == ["export", "run", "dataset"]
    assert report.out == "# Report\n"
    assert (downloaded.code, (tmp_path / "out" / "sub" / "m.json").read_bytes()) == (0, b"{}")


async def test_a_report_is_one_web_page_too(ftf: Ftf, tmp_path: Path) -> None:
    """As the file that was named; a file of the user's is not replaced."""
    page = tmp_path / "r.html"
    async with served(world()) as server:
        await filled(server, ftf, tmp_path)
        saved = await ftf(server, "report", "r1", "--html", str(page))
        data = page.read_bytes()
        page.write_text("mine")
        refused = await ftf(server, "report", "r1", "--html", str(page))

    assert (saved.code, saved.out) == (0, f"{page}\n")
    assert data.startswith(b"<!DOCTYPE html>")
    assert (refused.code, page.read_text()) == (exits.NOT_READY, "mine")
    assert "is there already" in refused.err


async def test_a_key_that_lies_in_the_folder_is_not_replaced(ftf: Ftf, tmp_path: Path) -> None:
    """Somebody may trust it; and what cannot be written is said as for any other file."""
    key = tmp_path / "out" / "signer.pem"
    key.parent.mkdir()
    async with served(world()) as server:
        await filled(server, ftf, tmp_path)
        key.write_text("the key that I trust")
        refused = await ftf(server, "download", "-o", "out")
        kept = key.read_text()
        key.unlink()
        twice = [await ftf(server, "download", "-o", "out") for _ in range(2)]
        key.unlink()
        key.symlink_to("/proc/self/mem")
        unreadable = await ftf(server, "download", "-o", "out")
        key.unlink()
        key.mkdir()
        async with FineTuneFlow.connect(server.address, TOKEN) as flow:
            with pytest.raises(FtfError) as barred:
                await download_attestation(flow, "projects/p/exports/x1", tmp_path / "out")

    assert (refused.code, kept) == (exits.NOT_READY, "the key that I trust")
    assert "signer.pem is there already and is another file" in refused.err
    assert [result.code for result in twice] == [exits.OK, exits.OK]
    assert unreadable.code == exits.NOT_READY
    assert barred.value.code == "RESOURCE_EXHAUSTED"


async def test_every_command_that_lists_or_shows_can_answer_in_json() -> None:
    """Only commands without a result cannot."""
    without = {command.words for command in COMMANDS if not command.json}

    assert without == {
        "up", "down", "logs", "report", "model delete", "project delete", "llm delete", "dataset delete",
        "template delete",
    }  # fmt: skip


async def test_tables_are_plain_text_without_cut_lines_in_a_pipe(ftf: Ftf) -> None:
    """So that grep and awk find whole words."""
    name = "x" * 150
    async with served(World()) as server:
        await ftf(server, "project", "create", "p", "--display-name", name)
        result = await ftf(server, "project", "list")

    assert result.out.splitlines()[0].split() == ["PROJECT", "NAME", "AGE", "DESCRIPTION"]
    assert name in result.out
    assert "\x1b" not in result.out + result.err


async def test_work_that_failed_ends_with_its_reason_and_code_1(ftf: Ftf, tmp_path: Path) -> None:
    """The line is the server's; the log is where it says."""
    async with served(world()) as server:
        await filled(server, ftf, tmp_path)
        server.world.faults["trainer crashes"] = 1
        result = await ftf(server, "train", "--id", "r2", "--watch")

    assert result.code == exits.FAILED
    assert result.err.splitlines()[-1] == "ftf: run r2: The trainer stopped — see `ftf logs`"


async def test_work_that_was_cancelled_ends_with_code_6(ftf: Ftf, tmp_path: Path) -> None:
    """A script can tell it from a failure."""
    async with served(world()) as server:
        await filled(server, ftf, tmp_path)
        await ftf(server, "train", "--id", "r2")
        cancelled = await ftf(server, "cancel", "r2")
        result = await ftf(server, "watch", "r2")

    assert cancelled.out == "projects/p/runs/r2: cancelled\n"
    assert (result.code, result.err.splitlines()[-1]) == (exits.CANCELLED, "ftf: run r2: cancelled")


async def test_errors_have_their_exit_codes_and_one_line(ftf: Ftf) -> None:
    """Not found, not ready, server error; never a traceback, never two lines."""
    async with served(world(faults={"odd": 1})) as server:
        results = [
            await ftf(server, *words.split())
            for words in ("runs nowhere", "files nowhere.pdf", "watch", "model add ./missing", "status", "train")
        ]

    assert [result.code for result in results] == [3, 3, 4, 3, 1, 4]
    assert all(result.err.splitlines()[-1].startswith("ftf: ") for result in results)
    assert [result.err.count("\n") for result in results][:3] == [1, 1, 1]
    assert results[4].err == "ftf: something odd over two lines\n"


async def test_an_unforeseen_error_is_one_line_and_its_traceback_a_file_on_demand(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Users see a line; who debugs asks for more."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    plain = report(ZeroDivisionError("division by zero"))
    monkeypatch.setenv("FTF_DEBUG", "1")
    report(ZeroDivisionError("division by zero"))

    lines = capsys.readouterr().err.splitlines()
    assert plain == exits.FAILED
    assert len(lines) == 2
    assert "FTF_DEBUG=1" in lines[0]
    assert "ZeroDivisionError" in next(tmp_path.glob("ftf-*.log")).read_text()


async def test_a_log_that_breaks_off_is_followed_without_gap_or_double(ftf: Ftf, tmp_path: Path) -> None:
    """Lines have no cursor; the ones that were printed are counted."""
    async with served(world()) as server:
        await filled(server, ftf, tmp_path)
        server.world.faults["stream cut"] = 1
        result = await ftf(server, "logs", "--follow")

    assert result.out.splitlines() == [f"INFO line {number}" for number in range(1, 5)]
    assert result.err == "the server cannot be reached; waiting for it\n"


async def test_an_llm_key_comes_from_a_file_or_the_environment(
    ftf: Ftf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And is printed nowhere."""
    (tmp_path / "key").write_text("sk-file\n")
    (tmp_path / "empty").write_text("\n")
    create = ("llm", "create", "--url", "http://x/v1", "--llm-model", "m")
    async with served(world()) as server:
        from_file = await ftf(server, *create, "a", "--api-key-file", str(tmp_path / "key"), "--json")
        empty = await ftf(server, *create, "b", "--api-key-file", str(tmp_path / "empty"))
        monkeypatch.setenv("FTF_LLM_API_KEY", "sk-env")
        await ftf(server, *create, "c")
        named = await ftf(server, *create, "d", "--api-key-secret", "cloud", "--json")

    assert server.world.keys == {"llmEndpoints/a": "sk-file", "llmEndpoints/c": "sk-env", "llmEndpoints/d": ""}
    assert from_file.json["has_api_key"] is True
    assert named.json["api_key_secret"] == "cloud"
    assert "sk-" not in from_file.out + from_file.err
    assert empty.code == exits.USAGE


def everything(tmp_path: Path) -> list[str]:
    """Return the words of the command that does all of it."""
    llm = ["--llm-url", "http://127.0.0.1:9/v1", "--llm-model", "tiny"]
    return ["run", str(documents(tmp_path)), "-m", "./smollm", *llm, "-o", str(tmp_path / "out")]


async def test_all_of_it_in_one_command(ftf: Ftf, tmp_path: Path) -> None:
    """Weights in both forms, the dataset and the report are in one folder."""
    async with served(World()) as server:
        result = await ftf(server, *everything(tmp_path))

    made = {str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("*") if p.is_file()}
    assert result.code == 0, result.err
    assert made >= {"adapter/model.safetensors", "merged/model.safetensors", "dataset.jsonl", "report/report.md"}
    assert "report.md" in result.out.splitlines()[-1]
    assert "generate 4/4" not in result.err
    assert "dropped DUPLICATE 3" in result.err


async def test_a_full_fine_tune_is_exported_without_an_adapter(ftf: Ftf, tmp_path: Path) -> None:
    """It has none: whoever asks for one is told before anything is trained."""
    async with served(World()) as server:
        asked = await ftf(server, *everything(tmp_path), "--method", "full", "--format", "adapter")
        nothing = list(server.world.calls)
        result = await ftf(server, *everything(tmp_path), "--method", "full")

    assert (asked.code, nothing) == (exits.USAGE, [])
    assert "--format merged" in asked.err
    assert result.code == 0, result.err
    assert (tmp_path / "out" / "merged" / "model.safetensors").is_file()
    assert not (tmp_path / "out" / "adapter").exists()


async def test_what_may_not_be_exported_still_leaves_its_report(ftf: Ftf, tmp_path: Path) -> None:
    """Whoever decides about the forgetting reads it; then the same command exports."""
    async with served(World(faults={"forgot": 1})) as server:
        refused = await ftf(server, *everything(tmp_path))
        left = {path.name for path in (tmp_path / "out").rglob("*") if path.is_file()}
        accepted = await ftf(server, *everything(tmp_path), "--accept-forgetting")

    assert (refused.code, left) == (exits.NOT_READY, {"dataset.jsonl", "report.md", "report.html"})
    assert accepted.code == 0, accepted.err


async def test_all_of_it_again_does_nothing_twice(ftf: Ftf, tmp_path: Path) -> None:
    """Ids derive from documents, model and settings, so the work is found again; other settings are other work."""
    async with served(World()) as server:
        await ftf(server, *everything(tmp_path))
        first = [call for call in server.world.calls if call.startswith("Create")]
        again = await ftf(server, *everything(tmp_path), "--json")
        second = [call for call in server.world.calls if call.startswith("Create")]
        await ftf(server, *everything(tmp_path), "--r", "4")
        third = [call for call in server.world.calls if call.startswith("Create")]

    assert first == ["CreateProject", "CreateDataset", "CreateRun", "CreateExport", "CreateExport"]
    assert again.json["run"]["work"]["state"] == "WORK_STATE_SUCCEEDED"
    assert second == first
    assert third[len(first) :] == ["CreateRun", "CreateExport", "CreateExport"]


async def test_all_of_it_goes_on_after_a_failure_where_it_was(ftf: Ftf, tmp_path: Path) -> None:
    """A paused dataset is resumed, a run that failed is followed by another; nothing before is repeated."""
    async with served(World(faults={"llm away": 1, "trainer crashes": 1})) as server:
        first = await ftf(server, *everything(tmp_path))
        second = await ftf(server, *everything(tmp_path))
        third = await ftf(server, *everything(tmp_path))

    assert [r.code for r in (first, second, third)] == [exits.NOT_READY, exits.FAILED, exits.OK], third.err
    assert "paused: The LLM does not answer" in first.err
    assert "trainer stopped" in second.err
    assert server.world.calls.count("CreateDataset") == server.world.calls.count("ResumeDataset") == 1
    assert [name.rsplit("-", 1)[-1] for name in server.world.runs][1:] == ["2"]


async def test_a_dataset_is_paused_by_hand_and_shown_so(ftf: Ftf) -> None:
    """Whoever watches it ends with an exit code of its own, and is told how to go on."""
    name = "projects/p/datasets/d1"
    running = work_pb2.Work(state=work_pb2.WORK_STATE_RUNNING, progress=work_pb2.Progress(phase="generate", total=4))
    running.progress.done = 2
    async with served(world(datasets={name: dataset_pb2.Dataset(name=name, work=running)})) as server:
        paused = await ftf(server, "dataset", "pause", "d1")
        structured = await ftf(server, "dataset", "pause", "d1", "--json")
        listed = await ftf(server, "dataset", "list")
        watched = await ftf(server, "watch", "datasets/d1")

    assert (paused.code, paused.out) == (exits.OK, f"{name}: paused; go on with `ftf dataset resume`\n")
    assert structured.json["work"]["state"] == "WORK_STATE_PAUSED"
    assert listed.out.splitlines()[1].split()[:4] == ["d1", "paused", "generate", "2/4"]
    assert watched.code == exits.NOT_READY
    assert "ftf dataset resume" in watched.err


async def test_a_run_is_paused_and_resumed_by_hand(ftf: Ftf) -> None:
    """The newest one without a name; datasets by theirs, and what cannot pause is refused."""
    run, dataset = "projects/p/runs/r1", "projects/p/datasets/d1"
    working = work_pb2.Work(state=work_pb2.WORK_STATE_RUNNING)
    datasets = {dataset: dataset_pb2.Dataset(name=dataset, work=working)}
    async with served(world(runs={run: run_pb2.Run(name=run, work=working)}, datasets=datasets)) as server:
        paused = await ftf(server, "pause")
        watched = await ftf(server, "watch", "r1")
        resumed = await ftf(server, "resume", "r1", "--watch")
        both = await ftf(server, "pause", "datasets/d1")
        refused = await ftf(server, "pause", "files/f1")
        server.world.faults["cancelling"] = 1
        late = await ftf(server, "pause", "r1")

    assert late.out == f"{run}: cancelling; there is nothing to pause\n"
    assert (paused.code, paused.out) == (exits.OK, f"{run}: paused; go on with `ftf resume r1`\n")
    assert watched.code == exits.NOT_READY
    assert watched.err.splitlines()[-1] == "ftf: run r1: paused — go on with `ftf resume`"
    assert resumed.code == exits.OK
    assert both.out == f"{dataset}: paused; go on with `ftf resume datasets/d1`\n"
    assert "cannot pause" in refused.err


async def test_runs_are_compared_by_what_differs_and_what_came_of_them(ftf: Ftf) -> None:
    """Settings that are the same are left out, and so are results that no run has."""
    made = {}
    for id, rate, loss in (("r1", 1e-4, 1.5), ("r2", 2e-4, 1.25)):
        run = run_pb2.Run(name=f"projects/p/runs/{id}", model="models/m", dataset="projects/p/datasets/d")
        run.config.learning_rate, run.config.max_steps = rate, 40
        run.result.steps = 40
        found = run.result.evaluation
        found.recall.CopyFrom(evaluation_pb2.EvalScore(examples=3, base_loss=2.0, tuned_loss=loss))
        found.forgetting.score.CopyFrom(evaluation_pb2.EvalScore(examples=32, base_loss=1.0, tuned_loss=loss))
        found.forgetting.passed = loss < 1.5
        made[run.name] = run
    async with served(world(runs=made)) as server:
        compared = await ftf(server, "compare", "r1", "r2")
        structured = await ftf(server, "compare", "r1", "r2", "--json")
        alone = await ftf(server, "compare", "r1", "r1")

    rows = {line.split("  ")[0]: line.split()[-2:] for line in compared.out.splitlines()}
    assert rows["learning_rate"] == ["0.0001", "0.0002"]
    assert "max_steps" not in rows
    assert "loss: recall 2.0000 → 1.5000 2.0000 → 1.2500" in " ".join(compared.out.split())
    assert "+0.5000 NOT passed" in compared.out
    assert "generalise" not in compared.out
    assert [run["name"] for run in structured.json["runs"]] == list(made)
    assert (alone.code, alone.err) == (
        exits.USAGE,
        "ftf: a comparison needs two runs — name two at least: `ftf runs` lists them\n",
    )


async def test_all_of_it_takes_up_a_run_that_is_under_way(ftf: Ftf, tmp_path: Path) -> None:
    """An interrupted command leaves the run to the server; the next one watches it."""
    async with served(World(faults={"stream hangs": 1})) as server:
        task = asyncio.create_task(ftf(server, *everything(tmp_path)))
        await asyncio.wait_for(server.world.watched.wait(), 20)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        server.world.faults.clear()
        again = await ftf(server, *everything(tmp_path))

    assert again.code == 0, again.err
    assert server.world.calls.count("CreateRun") == 1
    assert all(run.work.state == work_pb2.WORK_STATE_SUCCEEDED for run in server.world.runs.values())


async def test_a_model_that_the_arithmetic_does_not_know_is_trained_without_advice(ftf: Ftf, tmp_path: Path) -> None:
    """The user is told, and the defaults hold."""
    async with served(World(faults={"architecture unknown": 9})) as server:
        result = await ftf(server, *everything(tmp_path))

    assert result.code == 0
    assert "no recommendation" in result.err


async def subprocess_ftf(*words: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a command as a user does."""
    return await asyncio.to_thread(
        subprocess.run, [*FTF, *words], capture_output=True, text=True, timeout=60, check=False, **options
    )


async def test_a_program_of_its_own_prints_results_and_nothing_else(tmp_path: Path) -> None:
    """The whole way from argv to the exit code, with a server of this machine."""
    async with served(world()) as server:
        server.announce(tmp_path)
        env = os.environ | {"FTF_STATE": str(tmp_path)}
        shown = await subprocess_ftf("project", "list", env=env)
        missing = await subprocess_ftf("runs", "r9", env=env)

    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout.splitlines()[1].split() == ["p", "P"]
    assert (missing.returncode, missing.stderr.count("\n")) == (exits.NOT_FOUND, 1)


async def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    """`ftf files | head -1` ends quietly."""
    async with served(world()) as server:
        server.announce(tmp_path)
        for number in range(40):
            server.world.projects[f"projects/p{number}"] = project_pb2.Project(
                name=f"projects/p{number}", description="x" * 4000
            )
        command = f"{sys.executable} -m finetuneflow_client.cli.main project list --state {tmp_path} | head -1"
        found = await asyncio.to_thread(subprocess.run, ["sh", "-c", command], capture_output=True, text=True)

    assert found.stdout.count("\n") == 1
    assert found.stderr == ""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_ctrl_c_is_one_line_and_code_130(tmp_path: Path, number: signal.Signals) -> None:
    """And says that the work goes on. A supervisor's request to end is the same."""
    async with served(world(faults={"stream hangs": 1})) as server:
        server.announce(tmp_path)
        created = await subprocess_ftf("status", "--state", str(tmp_path))
        server.world.runs["projects/p/runs/r1"] = _running()
        process = await asyncio.create_subprocess_exec(
            *FTF, "watch", "r1", "--state", str(tmp_path), stderr=-1, stdout=-1
        )
        await asyncio.wait_for(server.world.watched.wait(), 30)
        process.send_signal(number)
        _, err = await process.communicate()

    assert created.returncode == 0
    assert process.returncode == exits.INTERRUPTED
    assert err.decode().splitlines()[-1] == "ftf: interrupted — work that was started goes on in the server"
    assert "Traceback" not in err.decode()


def test_down_ends_the_server_and_waits_for_it(tmp_path: Path) -> None:
    """It is asked, not killed; a second time there is nothing to end."""
    code = "import signal, sys, time; signal.signal(15, lambda *_: (time.sleep(0.5), sys.exit())); print(1, flush=True)"
    server = [sys.executable, "-c", f"{code}; time.sleep(60)"]
    down = [*FTF, "down", "--state", str(tmp_path)]
    with subprocess.Popen(server, stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        facts = {"address": "a:1", "pid": process.pid, "start_time": process_start(process.pid), "version": "0"}
        (tmp_path / "server.json").write_text(json.dumps(facts))
        first = subprocess.run(down, capture_output=True, text=True, timeout=60)
        second = subprocess.run(down, capture_output=True, text=True, timeout=60)

    assert (first.returncode, first.stderr) == (0, "the server has stopped\n")
    assert process.returncode == 0
    assert (second.returncode, second.stderr) == (0, f"ftf: no server runs from {tmp_path}\n")


def test_up_without_the_server_says_how_to_install_it(tmp_path: Path) -> None:
    """The client alone has no server in it."""
    client = Path(__file__).resolve().parents[2] / "clients" / "python"
    ftf = "import finetuneflow_client.cli.main as m; sys.exit(m.main(['up']))"
    code = f"import sys; sys.path.insert(0, {str(client)!r}); {ftf}"
    found = subprocess.run([sys.executable, "-S", "-I", "-c", code], capture_output=True, text=True, timeout=60)

    assert found.returncode == exits.NOT_READY
    assert "finetuneflow[local]" in found.stderr


def _running() -> run_pb2.Run:
    return run_pb2.Run(name="projects/p/runs/r1", work=work_pb2.Work(state=work_pb2.WORK_STATE_RUNNING))


async def test_a_download_replaces_no_file_of_the_users(ftf: Ftf, tmp_path: Path) -> None:
    """A README.md that is somebody's own stays, and the command says so."""
    mine = tmp_path / "mine"
    mine.mkdir()
    async with served(World()) as server:
        await ftf(server, *everything(tmp_path))
        export = next(iter(server.world.exports.values()))
        own = mine / export.artifacts[0].filename
        own.write_text("my own notes")
        refused = await ftf(server, "download", export.name, "-o", str(mine))

    assert refused.code == 4
    assert own.read_text() == "my own notes"


def test_settings_come_from_a_file_and_flags_come_before_it(tmp_path: Path) -> None:
    """By the contract's names; PEFT's `true` and numbers such as 2e-4 are read as people write them."""
    (tmp_path / "run.yaml").write_text(
        "method: qlora\nlearning_rate: 2e-4\nmax_steps: 7\n"
        "lora:\n  r: 16\n  init_lora_weights: true\n  target_modules: [q_proj, v_proj]\n"
    )
    args = build().parse_args(["train", "--config", str(tmp_path / "run.yaml"), "--max-steps", "9"])
    config = training_config(args)

    assert config.method == config_pb2.METHOD_QLORA
    assert (config.learning_rate, config.max_steps, config.lora.r) == (2e-4, 9, 16)
    assert (config.lora.init_lora_weights, list(config.lora.target_modules)) == ("true", ["q_proj", "v_proj"])


@pytest.mark.parametrize(
    ("content", "remedy"),
    [
        ("learning_rat: 1\n", '"learning_rate"'),
        ("lora: {rank: 8}\n", '"lora.r"'),
        ("method: dora\n", "lora, full, qlora"),
        ("max_steps: many\n", "config-schema"),
        ("- 1\n", "NAME: VALUE"),
        ("a: b: c\n", "NAME: VALUE"),
        ("lora: 8\n", "below it"),
    ],
)
def test_a_file_with_what_is_no_setting_is_refused(tmp_path: Path, content: str, remedy: str) -> None:
    """The remedy names the nearest setting, or the form."""
    (tmp_path / "run.yaml").write_text(content)
    args = build().parse_args(["train", "--config", str(tmp_path / "run.yaml")])
    with pytest.raises(FtfError) as caught:
        training_config(args)

    assert remedy in caught.value.remedy


def test_the_schema_of_a_file_describes_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    """Printed without a server; a file is checked by it as by the command."""
    with pytest.raises(SystemExit) as ended:
        build().parse_args(["train", "config-schema"])
    schema = json.loads(capsys.readouterr().out)
    check = jsonschema.Draft202012Validator(schema)
    described = {**schema["properties"], **schema["properties"]["lora"]["properties"]}

    assert ended.value.code == 0
    assert all("description" in field for name, field in described.items() if name != "lora")
    assert check.is_valid({"method": "full", "learning_rate": 1e-5})
    assert not check.is_valid({"learning_rat": 1e-5})
    assert not check.is_valid({"lora": {"r": "many"}})
