"""What `ftf` writes where: results on stdout, progress on stderr, JSON of every command, only results if quiet."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import pty
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from rich.text import Text

from finetuneflow_client.cli import exits
from finetuneflow_client.cli.grammar.parser import COMMANDS, build
from finetuneflow_client.cli.output import Output
from finetuneflow_client.cli.screen import Screen
from services.common.server import Program
from services.local import SERVER_FILE, announce
from tests.fakes.client_server import served
from tests.service.test_client_cli import Ftf, everything, filled, ftf, world
from tests.service.test_client_processes import FTF

__all__ = ["ftf"]

PROGRESS = (
    "upload docs",
    "chunk --model smollm",
    "dataset generate --id d2",
    "dataset resume d1",
    "train --id r2 --watch",
    "watch r1",
    "export --id x2 --watch",
    "download x1 -o out",
    "dataset download d1",
    "chat r1 -m Why?",
    "judge r1",
)
"""Commands that take time, and so show progress."""


def leaves(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """Yield the parser of every command."""
    inner = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    for action in inner:
        for one in action.choices.values():
            yield from leaves(one)
    if not inner:
        yield parser


def test_every_command_takes_json_and_quiet() -> None:
    """A script need not know which commands have a result."""
    found = {parser.prog: {o for a in parser._actions for o in a.option_strings} for parser in leaves(build())}

    assert len(found) == len(COMMANDS)
    assert {prog for prog, options in found.items() if not {"--json", "--quiet", "-q"} <= options} == set()


async def test_progress_is_on_stderr_and_quiet_ends_it(
    ftf: Ftf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a command prints as its result is the same, quiet or not; a quiet one says nothing else."""
    said, shown, quiet = {}, {}, {}
    for silent in (False, True):
        folder = tmp_path / f"quiet-{silent}"
        folder.mkdir()
        monkeypatch.chdir(folder)
        async with served(world()) as server:
            await filled(server, ftf, folder)
            for words in PROGRESS:
                result = await ftf(server, *words.split(), *(["--quiet"] if silent else []))
                assert result.code == exits.OK, result.err
                # Weights are made up anew for each server.
                (quiet if silent else shown)[words] = re.sub(r"[0-9a-f]{64}", "HASH", result.out)
                said[words, silent] = result.err

    assert quiet == shown
    assert [words for words in PROGRESS if said[words, True]] == []
    assert [words for words in PROGRESS if not said[words, False]] == []


async def test_the_whole_flow_in_one_command_is_quiet_too(ftf: Ftf, tmp_path: Path) -> None:
    """Its result is one JSON document."""
    async with served(world()) as server:
        result = await ftf(server, *everything(tmp_path), "--quiet", "--json")

    assert (result.code, result.err) == (exits.OK, "")
    assert isinstance(result.json, dict)


async def test_commands_that_change_something_answer_in_json(ftf: Ftf, tmp_path: Path) -> None:
    """A deletion says what is gone; what comes bit by bit is JSON Lines."""
    async with served(world()) as server:
        await filled(server, ftf, tmp_path)
        logs = await ftf(server, "logs", "r1", "--json")
        report = await ftf(server, "report", "r1", "--json")
        page = await ftf(server, "report", "r1", "--html", "r.html", "--json")
        chat = await ftf(server, "chat", "r1", "-m", "One?", "-m", "Two?", "--json")
        dropped = await ftf(server, "dataset", "drop", "e1", "-d", "d1", "--json")
        refused = await ftf(server, "project", "delete", "p", "--json")
        deleted = await ftf(server, "files", "a.md", "b.txt", "--delete", "--json", "--quiet")

    assert [json.loads(line)["text"] for line in logs.out.splitlines()] == [f"line {n}" for n in range(1, 5)]
    assert report.json == {"run": "projects/p/runs/r1", "report": "# Report\n"}
    assert page.json == {"files": ["r.html"]}
    assert [json.loads(line)["question"] for line in chat.out.splitlines()] == ["One?", "Two?"]
    assert dropped.json["examples"][0]["name"] == "projects/p/datasets/d1/examples/e1"
    assert (refused.code, refused.out) == (exits.NOT_READY, "")
    assert ([name.rpartition("/")[0] for name in deleted.json["deleted"]], deleted.err) == (
        ["projects/p/files"] * 2,
        "",
    )


def test_down_says_in_json_whether_a_server_was_stopped(tmp_path: Path) -> None:
    """A quiet one that stops nothing says nothing else."""
    words = [*FTF, "down", "--state", str(tmp_path), "--json", "--quiet"]
    found = subprocess.run(words, capture_output=True, text=True, check=True)

    assert (json.loads(found.stdout), found.stderr) == ({"stopped": False}, "")


def test_up_says_in_json_where_the_server_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On one line, once it is ready; a quiet one says nothing else."""
    program = cast("Program", SimpleNamespace(address="127.0.0.1:7"))
    announce(tmp_path, program, 0.0, as_json=True, quiet=True)
    out, err = capsys.readouterr()

    assert out.count("\n") == 1
    assert json.loads(out) == {**json.loads((tmp_path / SERVER_FILE).read_text()), "token_file": f"{tmp_path}/token"}
    assert err == ""


@pytest.mark.parametrize("variable", ["", "NO_COLOR", "TERM"])
def test_colours_reach_a_terminal_that_wants_them(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither one where NO_COLOR is set nor a dumb one."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    if variable:
        monkeypatch.setenv(variable, "dumb")
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as terminal:
        Output(terminal).render(Text("written", style="red"))
        Screen(terminal).draw(Text("drawn", style="red"), "said")
    shown = drained(ours)

    assert ("written" in shown, "drawn" in shown, "said" in shown) == (True, variable != "TERM", variable == "TERM")
    assert ("\x1b[31m" in shown) == (not variable)


def drained(terminal: int) -> str:
    """Return what was written to a terminal that nobody writes to any more."""
    found = b""
    with os.fdopen(terminal, "rb", buffering=0) as reader, contextlib.suppress(OSError):  # EIO is its end
        while part := reader.read(65536):
            found += part
    return found.decode()
