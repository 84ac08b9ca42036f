"""What the command ftf exits with, and what it says when something fails."""

from __future__ import annotations

from pathlib import Path

import pytest

from finetuneflow_client.cli import exits
from finetuneflow_client.cli.main import report
from tests.fakes.client_server import served
from tests.service.test_client_cli import Ftf, filled, ftf, world

__all__ = ["ftf"]


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
