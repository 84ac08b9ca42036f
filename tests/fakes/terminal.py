"""Commands of `ftf` as they stand on a page, run in the process of a test, on the loop that the server runs on."""

from __future__ import annotations

import glob
import shlex
from collections.abc import Mapping
from pathlib import Path

import pytest

from finetuneflow_client.cli.grammar.parser import build
from finetuneflow_client.cli.main import connected, report, resolve
from tests.fakes.running import TOKEN


class Terminal:
    """Runs commands in the current folder, as a shell and `ftf` would: with quotes, "*" and ">"; "|" ends one.

    Args:
        folder: gets the file of the token.
        address: of the server, host:port.
        told: what stands on the pages → what is meant here.
    """

    def __init__(
        self, folder: Path, address: str, capsys: pytest.CaptureFixture[str], told: Mapping[str, str] | None = None
    ) -> None:
        (folder / "token").write_text(TOKEN)
        self._flags = ["--server", address, "--token-file", str(folder / "token")]
        self._capsys = capsys
        self.told = dict(told or {})

    async def run(self, command: str) -> tuple[int, str]:
        """Run a command; return its exit code, and what it prints or, where it fails, what it says."""
        for word, meant in self.told.items():
            command = command.replace(word, meant)
        command, _, target = command.partition(" | ")[0].partition(" > ")
        code = await self._run([found for word in shlex.split(command)[1:] for found in _expanded(word, command)])
        out, said = self._capsys.readouterr()
        if target:
            Path(target).write_text(out, encoding="utf-8")
        return code, said if code else out

    async def _run(self, words: list[str]) -> int:
        try:
            args = build(words).parse_args(words)
            if not args.command.connects:
                return int(resolve(args.command)(args) or 0)  # type: ignore[arg-type]  # only what connects is awaited
            args = build(words).parse_args([*words, *self._flags])
            return await connected(args.command, args)
        except SystemExit as end:
            return int(end.code or 0)
        except Exception as error:
            return report(error)


def _expanded(word: str, command: str) -> list[str]:
    """Return the files that a word stands for; the word itself if there are none, or where it is quoted."""
    quoted = f"'{word}'" in command or f'"{word}"' in command
    return [word] if quoted else sorted(glob.glob(word)) or [word]
