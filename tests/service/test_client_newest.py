"""What a command takes when nothing is named."""

from __future__ import annotations

from pathlib import Path

from finetuneflow.common.v1 import work_pb2
from finetuneflow.dataset.v1 import dataset_pb2
from finetuneflow.export.v1 import export_pb2
from finetuneflow.training.v1 import run_pb2
from finetuneflow_client.cli import exits
from tests.fakes.client_server import served
from tests.service.test_client_cli import Ftf, filled, ftf, world

__all__ = ["ftf"]


async def test_the_newest_is_the_newest_that_is_finished(ftf: Ftf, tmp_path: Path) -> None:
    """A run or an export that goes on has nothing to show; which one was taken is said beside the result."""
    running = work_pb2.Work(state=work_pb2.WORK_STATE_RUNNING)
    async with served(world()) as server:
        await filled(server, ftf, tmp_path)
        server.world.runs["projects/p/runs/r2"] = run_pb2.Run(name="projects/p/runs/r2", work=running)
        server.world.exports["projects/p/exports/x2"] = export_pb2.Export(name="projects/p/exports/x2", work=running)
        report = await ftf(server, "report")
        downloaded = await ftf(server, "download", "-o", str(tmp_path / "out"))

    assert (report.out, report.err) == ("# Report\n", "the newest finished run: projects/p/runs/r1\n")
    assert downloaded.code == exits.OK
    assert "the newest finished export: projects/p/exports/x1\n" in downloaded.err


def failed_import(name: str) -> dataset_pb2.Dataset:
    """An import that failed: it has nothing."""
    work = work_pb2.Work(state=work_pb2.WORK_STATE_FAILED)
    return dataset_pb2.Dataset(name=name, work=work, imported=dataset_pb2.ImportedFile(filename="qa.csv"))


async def test_the_newest_dataset_is_named_and_never_one_that_failed_empty(ftf: Ftf, tmp_path: Path) -> None:
    """Neither a failed import nor generation that brought nothing; what tells why, or goes on, takes these too."""
    d, failed, silent = (f"projects/p/datasets/{id}" for id in ("d1", "qa2", "none"))
    work = work_pb2.Work(state=work_pb2.WORK_STATE_FAILED)
    async with served(world()) as server:
        await filled(server, ftf, tmp_path)
        server.world.datasets[failed] = failed_import(failed)
        server.world.datasets[silent] = dataset_pb2.Dataset(name=silent, work=work)
        examples = await ftf(server, "dataset", "examples")
        downloaded = await ftf(server, "dataset", "download", "-o", str(tmp_path / "rows"))
        shown = await ftf(server, "dataset", "show")
        resumed = await ftf(server, "dataset", "resume", "--no-watch")
        for name in (d, silent):
            del server.world.datasets[name]
        none = await ftf(server, "dataset", "examples")

    assert f"the newest dataset: {d} (newer, but failed without an example: none, qa2)\n" in examples.err
    assert d in downloaded.err
    assert silent in shown.out
    assert f"the newest dataset: {silent}\n" in resumed.err
    assert none.code == exits.NOT_READY
    assert "every dataset failed without an example: qa2" in none.err


async def test_training_says_which_dataset_it_took(ftf: Ftf, tmp_path: Path) -> None:
    """The newest with a version."""
    async with served(world()) as server:
        await filled(server, ftf, tmp_path)
        trained = await ftf(server, "train", "--dry-run")

    assert "the newest frozen dataset: projects/p/datasets/d1\n" in trained.err


async def test_training_says_which_model_it_took_and_recommends_nothing_for_what_is_refused(
    ftf: Ftf, tmp_path: Path
) -> None:
    """A refusal stands alone; what was recommended is said of a run that is started, or checked."""
    async with served(world()) as server:
        await filled(server, ftf, tmp_path)
        refused = await ftf(server, "train", "--dataset", "d1", "--id", "r1")
        named = await ftf(server, "train", "--dataset", "d1", "--model", "smollm", "--id", "r2")
        checked = await ftf(server, "train", "--dataset", "d1", "--dry-run")

    said = refused.err.splitlines()
    assert (refused.code, said[0], len(said)) == (exits.NOT_READY, "the only model: models/smollm", 2)
    assert "because There is no GPU." in named.err
    assert "the only model" not in named.err
    assert "because There is no GPU." in checked.err
