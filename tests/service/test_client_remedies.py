"""The remedy of an error is one: it names the flag, the command or the place that is at fault."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from finetuneflow.common.v1 import work_pb2
from finetuneflow.dataset.v1 import dataset_pb2
from finetuneflow.hardware.v1 import model_pb2
from finetuneflow.training.v1 import run_pb2
from finetuneflow_client.cli import exits
from finetuneflow_client.downloads import unwritable
from tests.fakes.client_server import served
from tests.fakes.client_world import World
from tests.service.test_client_cli import Ftf, everything, ftf, world

__all__ = ["ftf"]


async def test_a_file_of_settings_that_is_not_there_is_a_matter_of_its_path(ftf: Ftf) -> None:
    """Its form is another matter."""
    there = dataset_pb2.Dataset(name="projects/p/datasets/d1", versions=[dataset_pb2.DatasetVersion(version=1)])
    async with served(world(datasets={there.name: there})) as server:
        found = await ftf(server, "train", "--model", "m", "--config", "nofile.yaml")

    assert found.code == exits.USAGE
    assert found.err.splitlines()[-1] == "ftf: nofile.yaml cannot be read: No such file or directory — check the path"


async def test_a_model_that_is_not_there_is_a_matter_of_its_path(ftf: Ftf, tmp_path: Path) -> None:
    """A file that is no model is another matter, and the system's numbers are none of the user's."""
    (tmp_path / "model.txt").write_text("x")
    async with served(world()) as server:
        missing = await ftf(server, "model", "import", "nofile.tar")
        other = await ftf(server, "model", "import", str(tmp_path / "model.txt"))

    assert missing.err == "ftf: cannot read nofile.tar: No such file or directory — check the path\n"
    assert "no folder, zip or tar" in other.err


async def test_a_file_where_a_folder_is_wanted_is_named(ftf: Ftf, tmp_path: Path) -> None:
    """There is room; the place is wrong."""
    (tmp_path / "qa.csv").write_text("mine")
    async with served(World()) as server:
        await ftf(server, *everything(tmp_path))
        export = next(iter(server.world.exports.values()))
        found = await ftf(server, "download", export.name, "-o", str(tmp_path / "qa.csv"))

    assert found.code == exits.FAILED
    assert f"{tmp_path / 'qa.csv'} is a file, not a folder — choose another folder\n" in found.err
    assert (tmp_path / "qa.csv").read_text() == "mine"


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.ENOSPC, "free space or choose another folder"),
        (errno.EACCES, "choose another folder, one that you may write to"),
        (errno.EIO, "choose another folder"),
    ],
)
def test_what_cannot_be_written_needs_room_only_where_there_is_none(number: int, remedy: str, tmp_path: Path) -> None:
    """Whoever is not allowed to write frees space in vain."""
    assert unwritable(tmp_path, OSError(number, os.strerror(number))).remedy == remedy


def test_a_state_folder_that_cannot_be_made_needs_no_room(tmp_path: Path) -> None:
    """The place is wrong, and is named."""
    command = [sys.executable, "-m", "services.local", "--state", "/proc/x"]
    found = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    said = "ftf: /proc/x cannot be used: No such file or directory. Choose another --state, that you may write to.\n"
    assert (found.returncode, found.stderr) == (exits.FAILED, said)


@pytest.mark.parametrize(
    ("state", "way"),
    [
        (work_pb2.WORK_STATE_PAUSED, "go on with `ftf dataset resume d1`"),
        (work_pb2.WORK_STATE_FAILED, "go on with `ftf dataset resume d1`"),
        (work_pb2.WORK_STATE_RUNNING, "follow it with `ftf watch datasets/d1`"),
        (work_pb2.WORK_STATE_SUCCEEDED, "see `ftf dataset show d1`"),
    ],
)
async def test_an_id_that_is_taken_says_how_to_go_on(ftf: Ftf, state: work_pb2.WorkState.ValueType, way: str) -> None:
    """Whoever repeats a command wants its work, not another."""
    name = "projects/p/datasets/d1"
    there = dataset_pb2.Dataset(name=name, work=work_pb2.Work(state=state))
    async with served(world(datasets={name: there})) as server:
        found = await ftf(server, "dataset", "generate", "--id", "d1")

    assert found.code == exits.NOT_READY
    assert f"{name} exists already, " in found.err
    assert f"{way}, or choose another id" in found.err


async def test_what_does_not_exist_is_told_with_the_command_and_a_near_name(ftf: Ftf) -> None:
    """Without a near one the command alone is named."""
    runs = {"projects/p/runs/handbook": run_pb2.Run(name="projects/p/runs/handbook")}
    models = {"models/smollm2": model_pb2.Model(name="models/smollm2")}
    async with served(world(models=models, runs=runs)) as server:
        model = await ftf(server, "model", "show", "smollm")
        run = await ftf(server, "runs", "handbok")
        other = await ftf(server, "exports", "zzz")
        dataset = await ftf(server, "dataset", "show", "zzz")

    assert {result.code for result in (model, run, other, dataset)} == {exits.NOT_FOUND}
    assert model.err.endswith('models/smollm does not exist — see `ftf model list`; did you mean "smollm2"?\n')
    assert run.err.endswith(' does not exist — see `ftf runs`; did you mean "handbook"?\n')
    assert other.err.endswith(" does not exist — see `ftf exports`\n")
    assert dataset.err.endswith(" does not exist — see `ftf dataset list`\n")
