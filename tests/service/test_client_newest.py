"""What a command takes when nothing is named."""

from __future__ import annotations

from pathlib import Path

from finetuneflow.common.v1 import work_pb2
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
