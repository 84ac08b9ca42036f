"""All of it in one command, ftf run: once, again, after a failure, and on a run that is under way."""

from __future__ import annotations

import asyncio
from pathlib import Path

from finetuneflow.common.v1 import work_pb2
from finetuneflow_client.cli import exits
from tests.fakes.client_server import served
from tests.fakes.client_world import World
from tests.service.test_client_cli import Ftf, everything, ftf

__all__ = ["ftf"]


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
