"""What docs/operations.md says of copies: documents first, objects after them, no events; and a folder as a whole."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from services.local import COMPOSES
from tests.fakes.copies import Kept, OnDisk, OnServers
from tests.fakes.running import serving
from tests.fakes.servers import started
from tests.fakes.stores import ferretdb
from tests.fakes.terminal import Terminal
from tests.fakes.tiny_model import hollow_model
from tests.service.test_training import fake_jobs

BEFORE = (
    "ftf project create handbook",
    "ftf model add model --id m",
    "ftf upload note.md",
    "ftf dataset import qa.csv --map prompt=question,response=answer --id own",
    "ftf train --dataset own --max-steps 6 --id done --watch",
    "ftf export done --format merged --id made --watch",
)
LISTS = ("files", "dataset list", "runs", "exports", "model list")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with what the commands name."""
    monkeypatch.delenv("FTF_PROJECT", raising=False)
    monkeypatch.chdir(tmp_path)
    hollow_model(tmp_path / "model")
    (tmp_path / "note.md").write_text("# A note\n\nThe pump stands in the cellar.\n")
    (tmp_path / "qa.csv").write_text("question,answer\n" + "".join(f"What is {n}?,A number.\n" for n in range(12)))
    return tmp_path


@asynccontextmanager
async def installation(
    state: Path, capsys: pytest.CaptureFixture[str], stores: Mapping[str, Any] | None = None, **plan: Any
) -> AsyncIterator[Terminal]:
    """All services on a state folder, or on other stores, and a terminal; its trainers end with it."""
    state.mkdir(exist_ok=True)
    jobs = fake_jobs(state, **plan)
    async with serving(state, COMPOSES, jobs=jobs, **(stores or {})) as served:
        yield Terminal(state, served.address, capsys)
    for job in await jobs.list():
        await jobs.stop(job.name, 0)


async def told(terminal: Terminal, command: str) -> str:
    """Return what a command that succeeds prints."""
    code, said = await terminal.run(f"ftf {command}")
    assert code == 0, said
    return said


async def shown(terminal: Terminal, command: str) -> dict[str, Any]:
    """Return what a command prints as JSON."""
    found: dict[str, Any] = json.loads(await told(terminal, f"{command} --json"))
    return found


async def listed(terminal: Terminal) -> dict[str, Any]:
    """Return every resource that there is."""
    return {kind: await shown(terminal, kind) for kind in LISTS}


async def verified(terminal: Terminal, folder: Path) -> str:
    """Download the export and return what is said of its signature, and of its way back."""
    await told(terminal, f"download made -o {folder}")
    await told(terminal, f"key > {folder}.key")
    return await told(terminal, f"verify {folder}") + await told(terminal, "trace exports/made")


@pytest.fixture(params=["disk", pytest.param("servers", marks=pytest.mark.cluster)])
def kept(request: pytest.FixtureRequest, folder: Path) -> Iterator[tuple[Kept, Kept]]:
    """The stores of an installation, and empty ones of the same kind."""
    if request.param == "disk":
        yield OnDisk(folder / "old"), OnDisk(folder / "new")
        return
    with started(ferretdb(folder / "one")) as one, started(ferretdb(folder / "two")) as two:
        s3 = request.getfixturevalue("seaweedfs")
        yield OnServers(f"mongodb://{one.address}", s3), OnServers(f"mongodb://{two.address}", s3)


async def test_a_copy_of_documents_then_objects_is_a_whole_installation(
    folder: Path, capsys: pytest.CaptureFixture[str], kept: tuple[Kept, Kept]
) -> None:
    """Made while a run trains and without a word of events; there the run goes on, and the signature is the same."""
    old, new = folder / "old", folder / "new"
    here, there = kept
    async with installation(old, capsys, here.settings) as terminal:
        for command in BEFORE:
            await told(terminal, command.removeprefix("ftf "))
        (old / "plan.json").write_text(json.dumps({"step_seconds": 0.1, "save_steps": 5, "steps": 1000}))
        await told(terminal, "train --dataset own --id working")
        while not (await shown(terminal, "runs working")).get("checkpoints"):  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.1)
        here.copy_documents(there)
        before = await listed(terminal)
        await asyncio.sleep(0.5)  # the run goes on between the two copies
        here.copy_objects(there)
        shutil.copytree(old / "secrets", new / "secrets")
        signed = await verified(terminal, folder / "there")
    async with installation(new, capsys, there.settings, steps=12, save_steps=5) as terminal:
        code, said = await terminal.run("ftf watch working")
        after = await listed(terminal)
        again = await verified(terminal, folder / "here")

    assert code == 0, said
    assert {kind: names(found) for kind, found in after.items()} == {k: names(found) for k, found in before.items()}
    assert again == signed.replace("there", "here")
    assert (folder / "here.key").read_text() == (folder / "there.key").read_text()


def names(found: dict[str, list[dict[str, Any]]]) -> set[str]:
    """The names of listed resources."""
    return {one["name"] for one in next(iter(found.values()))}


async def test_a_state_folder_that_was_copied_at_rest_is_served_elsewhere(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every resource is as it was."""
    old, new = folder / "old", folder / "new"
    async with installation(old, capsys) as terminal:
        for command in BEFORE:
            await told(terminal, command.removeprefix("ftf "))
        before = await listed(terminal)
    shutil.copytree(old, new)
    shutil.rmtree(old)
    async with installation(new, capsys) as terminal:
        after = await listed(terminal)
        said = await verified(terminal, folder / "here")

    assert after == before
    assert "note.md" in said or "qa.csv" in said
