"""Which server, and which token."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from finetuneflow_client.discovery import Server, find_server, process_start, state_folder
from finetuneflow_client.errors import FtfError


def announce(state: Path, pid: int, start_time: int | None = None) -> None:
    """Write what `ftf up` writes."""
    state.mkdir(parents=True, exist_ok=True)
    start = process_start(pid) if start_time is None else start_time
    facts = {"address": "127.0.0.1:5", "pid": pid, "start_time": start, "version": "0.1.0"}
    (state / "server.json").write_text(json.dumps(facts))
    (state / "token").write_text("from-state\n")


def test_flags_come_before_the_environment_and_that_before_the_state_folder(tmp_path: Path) -> None:
    """The nearer a choice is to the command, the more it counts."""
    announce(tmp_path / "state", os.getpid())
    (tmp_path / "t").write_text("from-file\n")
    env = {"FTF_STATE": str(tmp_path / "state")}
    both = {**env, "FTF_SERVER": "there:1", "FTF_TOKEN": "from-env"}

    assert find_server(env=env) == Server("127.0.0.1:5", "from-state")
    assert find_server(env=both) == Server("there:1", "from-env")
    assert find_server("other:2", str(tmp_path / "t"), env=both) == Server("other:2", "from-file")
    assert find_server(env={"FTF_SERVER": "a:1", "FTF_TOKEN_FILE": str(tmp_path / "t")}) == Server("a:1", "from-file")


def test_a_state_folder_on_the_command_line_is_meant(tmp_path: Path) -> None:
    """Neither the server nor the token of the environment belongs to it."""
    announce(tmp_path, os.getpid())

    assert find_server(state=str(tmp_path), env={"FTF_SERVER": "a:1", "FTF_TOKEN": "x"}).token == "from-state"


def test_the_state_folder_follows_the_xdg_rules() -> None:
    """$FTF_STATE, then $XDG_STATE_HOME, then ~/.local/state."""
    assert state_folder("/a", {"FTF_STATE": "/b"}) == Path("/a")
    assert state_folder("", {"FTF_STATE": "/b", "XDG_STATE_HOME": "/c"}) == Path("/b")
    assert state_folder("", {"XDG_STATE_HOME": "/c"}) == Path("/c/finetuneflow")
    assert state_folder("", {}) == Path.home() / ".local/state/finetuneflow"


@pytest.mark.parametrize("text", [None, "", "{", '{"address": "a:1"}', "[1]"])
def test_without_a_server_the_remedy_is_named(tmp_path: Path, text: str | None) -> None:
    """No file and half a file are the same: nothing runs."""
    if text is not None:
        (tmp_path / "server.json").write_text(text)

    with pytest.raises(FtfError, match="ftf up") as caught:
        find_server(state=str(tmp_path), env={})
    assert caught.value.code == "UNAVAILABLE"
    assert caught.value.away


def test_a_server_that_was_killed_is_not_waited_for(tmp_path: Path) -> None:
    """Its file is still there; its process is not, or another has its pid."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    announce(tmp_path / "gone", gone.pid, start_time=1)
    announce(tmp_path / "reused", os.getpid(), start_time=1)

    for state in ("gone", "reused"):
        with pytest.raises(FtfError, match="ended without a word"):
            find_server(state=str(tmp_path / state), env={})


def test_a_process_that_awaits_its_parent_counts_as_ended() -> None:
    """`ftf down` must not wait for a parent that never asks."""
    zombie = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)

    assert process_start(zombie.pid) == 0
    zombie.wait()


def test_a_token_file_that_cannot_be_read_is_a_plain_error(tmp_path: Path) -> None:
    """The path and the system's reason are named."""
    with pytest.raises(FtfError, match=r"nowhere: No such file") as caught:
        find_server("a:1", str(tmp_path / "nowhere"), env={})

    assert caught.value.code == "INVALID_ARGUMENT"
