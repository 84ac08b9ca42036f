"""The command ftf as a process of its own: pipes, signals, and a server that it starts or ends."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from finetuneflow.common.v1 import work_pb2
from finetuneflow.ingest.v1 import project_pb2
from finetuneflow.training.v1 import run_pb2
from finetuneflow_client.cli import exits
from finetuneflow_client.discovery import process_start
from tests.fakes.client_server import served
from tests.service.test_client_cli import world

FTF = [sys.executable, "-m", "finetuneflow_client.cli.main"]


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
    """The client alone has no server in it; no package index has it either, and without a trainer every run fails."""
    client = Path(__file__).resolve().parents[2] / "clients" / "python"
    ftf = "import finetuneflow_client.cli.main as m; sys.exit(m.main(['up']))"
    code = f"import sys; sys.path.insert(0, {str(client)!r}); {ftf}"
    found = subprocess.run([sys.executable, "-S", "-I", "-c", code], capture_output=True, text=True, timeout=60)

    assert found.returncode == exits.NOT_READY
    assert "`make setup`" in found.stderr
    assert 'pip install --find-links dist "finetuneflow[local,trainer]"' in found.stderr


def _running() -> run_pb2.Run:
    return run_pb2.Run(name="projects/p/runs/r1", work=work_pb2.Work(state=work_pb2.WORK_STATE_RUNNING))
