"""Deleting by `ftf` asks back where something depends on what is to go."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from finetuneflow.common.v1 import work_pb2
from finetuneflow.dataset.v1 import dataset_pb2
from finetuneflow.export.v1 import export_pb2
from finetuneflow.hardware.v1 import model_pb2
from finetuneflow.ingest.v1 import file_pb2, project_pb2
from finetuneflow.training.v1 import run_pb2
from finetuneflow_client.cli import exits
from finetuneflow_client.cli.grammar.parser import build
from finetuneflow_client.cli.main import connected, report
from tests.fakes.client_server import Serving, served
from tests.fakes.client_world import World, done, failed

Ftf = Callable[[Serving, str], Awaitable[tuple[int, str]]]

MODEL, DATASET, FILE = "models/m", "projects/p/datasets/d", "projects/p/files/f"


@pytest.fixture
def ftf(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Ftf:
    """Run a command on the loop that the server runs on; return its exit code and what it wrote to stderr."""
    monkeypatch.setenv("FTF_PROJECT", "p")

    async def run(server: Serving, words: str) -> tuple[int, str]:
        args = build().parse_args([*words.split(), *server.flags(tmp_path)])
        try:
            code = await connected(args.command, args)
        except Exception as error:
            code = report(error)
        return code, capsys.readouterr().err

    return run


def world(*runs: run_pb2.Run) -> World:
    """Return a world with a model, a file, a dataset of it, and runs."""
    return World(
        projects={"projects/p": project_pb2.Project(name="projects/p")},
        models={MODEL: model_pb2.Model(name=MODEL)},
        files={FILE: file_pb2.File(name=FILE, display_name="a.md")},
        datasets={DATASET: dataset_pb2.Dataset(name=DATASET, spec=dataset_pb2.DatasetSpec(files=[FILE]))},
        runs={run.name: run for run in runs},
    )


def used(run_id: str, work: work_pb2.Work) -> run_pb2.Run:
    """Return a run of the model and the dataset."""
    return run_pb2.Run(name=f"projects/p/runs/{run_id}", model=MODEL, dataset=DATASET, work=work)


@pytest.mark.parametrize(("words", "name"), [("model delete m", MODEL), ("dataset delete d", DATASET)])
async def test_what_runs_depend_on_goes_only_with_yes(ftf: Ftf, words: str, name: str) -> None:
    """The refusal names the runs, unfinished ones apart, and nothing is deleted."""
    here = world(used("live", work_pb2.Work(state=work_pb2.WORK_STATE_QUEUED)), used("old", done()))
    async with served(here) as server:
        refused = await ftf(server, words)
        kept = name in here.models | here.datasets
        meant = await ftf(server, f"{words} --yes")

    assert refused[0] == exits.NOT_READY
    assert "1 run not finished (projects/p/runs/live)" in refused[1]
    assert "1 run finished (projects/p/runs/old)" in refused[1]
    assert f"`ftf {words} --yes`" in refused[1]
    assert kept
    assert meant[0] == exits.OK
    assert name not in here.models | here.datasets


@pytest.mark.parametrize("words", ["model delete m", "dataset delete d"])
async def test_what_nothing_depends_on_goes_at_once(ftf: Ftf, words: str) -> None:
    """Scripts that delete what nobody uses need no flag."""
    async with served(world()) as server:
        result = await ftf(server, words)

    assert result[0] == exits.OK


async def test_what_is_being_made_with_a_run_or_an_llm_keeps_it(ftf: Ftf) -> None:
    """An export that is not finished, a run that begins from it, a dataset that asks; what has ended does not."""
    here = world(used("first", done()), used("second", work_pb2.Work(state=work_pb2.WORK_STATE_QUEUED)))
    here.runs["projects/p/runs/second"].resume_from_checkpoint = "projects/p/runs/first/checkpoints/2"
    running = work_pb2.Work(state=work_pb2.WORK_STATE_RUNNING)
    for name, work in (("projects/p/exports/x", running), ("projects/p/exports/y", done())):
        here.exports[name] = export_pb2.Export(name=name, run="projects/p/runs/first", work=work)
    here.datasets[DATASET].work.CopyFrom(running)
    here.datasets[DATASET].spec.judge.llm_endpoint = "llmEndpoints/l"
    async with served(here) as server:
        run, llm = await ftf(server, "runs first --delete"), await ftf(server, "llm delete l")

    assert run[0] == llm[0] == exits.NOT_READY
    assert "1 export not finished (projects/p/exports/x) fails" in run[1]
    assert "1 run that begins from it (projects/p/runs/second) may fail" in run[1]
    assert f"1 dataset not finished ({DATASET}) pauses" in llm[1]
    assert "`ftf runs first --delete --yes`" in run[1]


async def test_a_run_whose_exports_would_stay_is_deleted_only_with_yes(ftf: Ftf) -> None:
    """They have files of their own; one that failed has none and holds nothing."""
    here = world(used("a", done()), used("b", done()))
    for export, run, work in (("x", "a", done()), ("y", "b", failed("No room.", "NO_ROOM"))):
        name = f"projects/p/exports/{export}"
        here.exports[name] = export_pb2.Export(name=name, run=f"projects/p/runs/{run}", work=work)
    async with served(here) as server:
        held, free = await ftf(server, "runs a --delete"), await ftf(server, "runs b --delete")
        meant = await ftf(server, "runs a --delete --yes")

    assert held[0] == exits.NOT_READY
    assert "1 export finished (projects/p/exports/x) would stay" in held[1]
    assert "`ftf exports ID --delete`" in held[1]
    assert free[0] == meant[0] == exits.OK
    assert (list(here.runs), len(here.exports)) == ([], 2)


async def test_a_run_is_not_held_by_what_begins_from_another_whose_name_begins_as_its_own(ftf: Ftf) -> None:
    """r10 is not r1."""
    here = world(used("r1", done()), used("r10", done()), used("r2", work_pb2.Work(state=work_pb2.WORK_STATE_QUEUED)))
    here.runs["projects/p/runs/r2"].resume_from_checkpoint = "projects/p/runs/r10"
    async with served(here) as server:
        free, held = await ftf(server, "runs r1 --delete"), await ftf(server, "runs r10 --delete")

    assert free[0] == exits.OK
    assert held[0] == exits.NOT_READY
    assert "projects/p/runs/r1" not in here.runs


async def test_a_file_of_a_dataset_is_not_deleted_by_the_way(ftf: Ftf) -> None:
    """The refusal names the datasets, and the command that takes the file out of them too."""
    here = world()
    async with served(here) as server:
        refused = await ftf(server, "files f --delete")
        kept = FILE in here.files
        meant = await ftf(server, "files f --delete --yes")

    assert refused[0] == exits.NOT_READY
    assert DATASET in refused[1]
    assert "`ftf unlearn`" in refused[1]
    assert kept
    assert meant[0] == exits.OK


class _Terminal:
    def __init__(self, answer: str) -> None:
        self._answer = answer

    def isatty(self) -> bool:
        return True

    def readline(self) -> str:
        return self._answer


@pytest.mark.parametrize(("answer", "code"), [("y\n", exits.OK), ("\n", exits.NOT_READY), ("", exits.NOT_READY)])
async def test_a_person_at_a_terminal_is_asked(
    ftf: Ftf, monkeypatch: pytest.MonkeyPatch, answer: str, code: int
) -> None:
    """Only a yes deletes: an empty line and the end of input do not."""
    here = world(used("old", done()))
    monkeypatch.setattr(sys, "stdin", _Terminal(answer))
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    async with served(here) as server:
        result = await ftf(server, "model delete m")

    assert result[0] == code
    assert (MODEL in here.models) == (code != exits.OK)
