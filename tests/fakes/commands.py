"""The client's commands in the process of a test, on the loop that the server runs on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from finetuneflow_client.cli.grammar.parser import build
from finetuneflow_client.cli.main import connected
from tests.fakes.running import TOKEN


class Client:
    """Runs commands against a server.

    Args:
        flags: given to every command.
    """

    def __init__(self, folder: Path, address: str, capsys: pytest.CaptureFixture[str], *flags: str) -> None:
        (folder / "client-token").write_text(TOKEN)
        self._flags = ["--server", address, "--token-file", str(folder / "client-token"), *flags]
        self._capsys = capsys

    async def told(self, *words: str) -> tuple[str, str]:
        """Run a command that succeeds and return what it prints, and what it says beside that."""
        args = build().parse_args([*words, *self._flags])
        code = await connected(args.command, args)
        said = self._capsys.readouterr()
        assert code == 0, said
        return said.out, said.err

    async def plain(self, *words: str) -> str:
        """Run a command that succeeds and return what it prints."""
        return (await self.told(*words))[0]

    async def json(self, *words: str) -> Any:
        """Return what a command prints as JSON."""
        return json.loads(await self.plain(*words, "--json"))
