"""Completion in a real bash: commands, flags, choices, and the names that a server has."""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from finetuneflow_client import profiles
from finetuneflow_client.cli.main import main
from finetuneflow_client.profiles import Profile, Profiles
from tests.fakes.client_server import served
from tests.service.test_client_cli import Ftf, filled, ftf, world

__all__ = ["ftf"]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A folder of programs with an `ftf` in it, and a configuration of its own."""
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "ftf"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m finetuneflow_client.cli.main "$@"\n')
    program.chmod(0o755)
    own = {"PATH": f"{program.parent}:{os.environ['PATH']}", "XDG_CONFIG_HOME": str(tmp_path / "config")}
    return {**os.environ, **own, "FTF_STATE": str(tmp_path / "state")}


def completed(environment: dict[str, str], *lines: str) -> list[list[str]]:
    """Return what bash offers at the end of each line, once it has read the script."""
    script = ['eval "$(ftf completion bash)"']
    for line in lines:
        function = "$(complete -p ftf | sed 's/.*-F \\([^ ]*\\) .*/\\1/')"
        script += [f"COMP_LINE={shlex.quote(line)} COMP_POINT={len(line)} COMP_TYPE=9 COMPREPLY=()"]
        script += [f'{function} ftf; printf "%s\\n" "${{COMPREPLY[@]}}"; echo END']
    words = [shutil.which("bash") or "bash", "--norc", "-c", "\n".join(script)]
    found = subprocess.run(words, env=environment, capture_output=True, text=True, check=True, timeout=100)
    return [[word.strip() for word in part.split()] for part in found.stdout.split("END\n")[:-1]]


def test_bash_completes_commands_flags_and_choices(environment: dict[str, str], tmp_path: Path) -> None:
    """And names of profiles, which need no server."""
    profiles.save(Profiles("", {"lab": Profile("lab", "a:1", "t")}), environment)
    found = completed(
        environment,
        "ftf chun",
        "ftf dataset gen",
        "ftf train --learning-r",
        "ftf export --format m",
        "ftf runs --profile l",
    )

    assert found == [["chunk", "chunks"], ["generate"], ["--learning-rate"], ["merged"], ["lab"]]


async def test_bash_completes_what_the_server_has(ftf: Ftf, environment: dict[str, str], tmp_path: Path) -> None:
    """Of the project that a command would work in."""
    async with served(world()) as server:
        await filled(server, ftf, tmp_path)
        server.announce(tmp_path / "state")
        found = await asyncio.to_thread(completed, environment, "ftf runs r", "ftf train -d ", "ftf files -p ")

    assert found == [["r1"], ["d1"], ["p"]]


def test_without_a_server_there_are_no_names(environment: dict[str, str]) -> None:
    """And no error between what the user types."""
    assert completed(environment, "ftf compare r") == [[]]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shell_has_its_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It names the command that it is for."""
    code = main(["completion", shell])

    assert code == 0
    assert "ftf" in capsys.readouterr().out
