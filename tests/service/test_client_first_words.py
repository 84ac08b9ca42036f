"""What `ftf` says before there is news, of what waits, and without colours; what `ftf up` says and ends with."""

from __future__ import annotations

import io
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from rich.console import Console

from finetuneflow.common.v1 import server_service_pb2 as pb
from finetuneflow.common.v1 import waiting_pb2, work_pb2
from finetuneflow_client.cli import exits, wording
from finetuneflow_client.cli.dataset import preview
from finetuneflow_client.cli.doctor import doctor
from finetuneflow_client.cli.grammar.parser import build
from finetuneflow_client.cli.output import Output
from finetuneflow_client.cli.screen import Screen
from finetuneflow_client.cli.session import Session
from finetuneflow_client.cli.view.curves import Curves
from finetuneflow_client.cli.view.files import TransferView
from finetuneflow_client.cli.view.run import RunView
from finetuneflow_client.client import Services
from services.common.server import Program
from services.local import announce, has_projects, only_one
from tests.fakes.client_server import TOKEN, served
from tests.fakes.client_world import World
from tests.service.test_client_cli import Ftf, ftf, world

__all__ = ["ftf"]


def test_a_transfer_says_nothing_before_its_first_byte() -> None:
    """What is refused at once has not begun; a file without bytes that arrived has."""
    view = TransferView("upload", 0)
    view.begin("a.md")
    before = view.line()
    view.update(0, 0)

    assert (before, view.line()) == ("", "upload: 0 B")


async def test_a_command_that_fails_at_once_says_that_alone(ftf: Ftf, tmp_path: Path) -> None:
    """One line: neither bytes, nor an LLM that is asked, nor a run that is watched."""
    async with served(world()) as server:
        watched = await ftf(server, "watch", "nope")
        sent = await ftf(server, "dataset", "import", "none.jsonl")

    assert RunView("projects/p/runs/nope").line() == ""
    assert [result.err.count("\n") for result in (watched, sent)] == [1, 1]


@pytest.mark.parametrize(("quiet_seconds", "announced"), [(600, False), (0, True)])
async def test_an_llm_is_announced_to_who_waits_for_it(
    quiet_seconds: float, announced: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And not where it answers before."""
    async with served(world()) as server:
        args = build(["dataset"]).parse_args(["dataset", "preview", "-p", "p", *server.flags(tmp_path)])
        async with Services.connect(args.server, token_file=args.token_file) as flow:
            await preview(Session(args, flow, Screen(), Output()), quiet_seconds)
    said = capsys.readouterr().err

    assert "accepted" in said
    assert ("asking the LLM" in said) is announced


def test_a_place_in_a_line_is_one_of_those_that_wait() -> None:
    """The reason's name alone says nothing."""
    work = work_pb2.Work(state=work_pb2.WORK_STATE_QUEUED)
    work.waiting.reason, work.waiting.position = waiting_pb2.WAITING_REASON_ROOM, 1
    work.waiting.message = "1 Job comes before it on this machine."
    work.waiting.since.FromSeconds(int(time.time()) - 40)

    assert wording.waiting(work).startswith("place 1, waiting for room for 4")
    assert wording.waiting(work).endswith(" s: 1 Job comes before it on this machine.")


def test_curves_without_colours_have_marks_of_their_own() -> None:
    """In the plot and in the legend; with colours the line is finer."""
    curves = Curves({"one": [(0, 1.0), (10, 1.0)], "two": [(0, 2.0), (10, 2.0)]})
    plain, coloured = io.StringIO(), io.StringIO()
    Console(file=plain, width=40).print(curves)
    Console(file=coloured, width=40, force_terminal=True, color_system="standard", no_color=False).print(curves)

    rows = plain.getvalue().splitlines()
    assert ("o" in rows[0], "*" in rows[11]) == (True, True)
    assert rows[-1].split() == ["*", "one", "o", "two"]
    assert "*" not in coloured.getvalue()


async def test_the_doctor_counts_what_it_shows(capsys: pytest.CaptureFixture[str]) -> None:
    """What several services share is one row, and one thing that does not answer."""
    shared = [pb.Dependency(what="NATS", address="n:1", state="STATE_FAILS", message="gone", service=s) for s in "ab"]
    good = [pb.Dependency(what="store", address="s:1", state="STATE_ANSWERS", service=s) for s in "abc"]

    class Server:
        async def GetServerInfo(self, request: pb.GetServerInfoRequest) -> pb.GetServerInfoResponse:
            return pb.GetServerInfoResponse(version="0")

        async def CheckDependencies(self, request: pb.CheckDependenciesRequest) -> pb.CheckDependenciesResponse:
            return pb.CheckDependenciesResponse(dependencies=[*shared, *good])

    args = build(["doctor"]).parse_args(["doctor", "--server", "h:1"])
    flow = SimpleNamespace(server=Server())
    code = await doctor(Session(args, flow, Screen(), Output()))  # type: ignore[arg-type]  # no more of it is used

    assert code == exits.FAILED
    assert "1 of 2 does not answer" in capsys.readouterr().err


def test_help_says_what_stands_for_no_limit(capsys: pytest.CaptureFixture[str]) -> None:
    """0 is a value like others to whoever has not read the contract."""
    with pytest.raises(SystemExit):
        build(["dataset"]).parse_args(["dataset", "generate", "--help"])

    assert "1 to 1,000,000 (0: no limit)" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("there", [False, True])
async def test_up_names_what_comes_next(there: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """To make a project only where there is none."""
    async with served(world() if there else World()) as server:
        known = await has_projects(server.address, TOKEN)
    announce(tmp_path, cast("Program", SimpleNamespace(address="127.0.0.1:7")), 0.0, known=known)

    assert known is there
    assert capsys.readouterr().err.endswith(f"ftf project {'list' if there else 'create NAME'}\n")


def test_a_second_server_on_a_state_folder_comes_at_the_wrong_time(tmp_path: Path) -> None:
    """Its exit code is that of the right command at the wrong time."""
    command = [sys.executable, "-m", "services.local", "--state", str(tmp_path)]
    with only_one(tmp_path):
        found = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert found.returncode == exits.NOT_READY
    assert found.stderr.startswith(f"ftf: {tmp_path} is in use: `ftf up` runs already.")
    assert found.stderr.count("\n") == 1
