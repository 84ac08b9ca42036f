"""Secrets of one machine lie in files that only their owner can read, and its server listens to this machine alone."""

from __future__ import annotations

import argparse
from pathlib import Path

from services import local
from services.common.secretfiles import Secrets


def test_a_secrets_file_is_its_owners_alone(tmp_path: Path) -> None:
    """Whatever the umask: the token of `ftf up`, and keys that came with a call."""
    local.token(tmp_path)
    Secrets(tmp_path / "keys").put("llm", "a key")
    modes = [path.stat().st_mode & 0o777 for path in (tmp_path / "token", tmp_path / "keys/llm", tmp_path / "keys")]

    assert modes == [0o600, 0o600, 0o700]


def test_the_server_of_one_machine_listens_to_it_alone(tmp_path: Path) -> None:
    """At a port of the loopback interface."""
    made = local.config(tmp_path, 7070, "nats://", argparse.Namespace(allow_hub=False, metrics=""))

    assert made.listen == "127.0.0.1:7070"
    assert not made.allow_hub
