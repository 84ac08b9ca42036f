"""`ftf chat` and `ftf judge`: what is asked, what is shown, and that nothing stays loaded by accident."""

from __future__ import annotations

import asyncio
import io
import json
import os
import pty
import signal
import sys
from pathlib import Path

import pytest

from finetuneflow_client.cli import exits
from tests.fakes.client_server import TOKEN, served
from tests.service.test_client_cli import Ftf, filled, ftf, world

__all__ = ["ftf"]


async def test_each_model_hears_its_own_answers_again(ftf: Ftf, tmp_path: Path) -> None:
    """The system message stands before all turns; afterwards the models are let go, unless they are to be kept."""
    async with served(world()) as server:
        await filled(server, ftf, tmp_path)
        asked = await ftf(server, "chat", "r1", "--system", "Be brief.", "-m", "One?", "-m", "Two?", "--json")
        kept = await ftf(server, "chat", "--side", "tuned", "-m", "One?", "--keep", "900")
        calls = [call for call in server.world.calls if call.startswith(("Generate", "Unload"))]

    found = [json.loads(line) for line in asked.out.splitlines()]
    first = "[bold]heard\x1b[31m: Be brief. > One?"
    assert (asked.code, kept.code) == (exits.OK, exits.OK)
    assert [f["question"] for f in found] == ["One?", "Two?"]
    assert found[0]["base"] == {"text": first, "tokens": 3, "seconds": 0.0, "cut": True}
    assert found[1]["base"]["text"] == f"[bold]heard\x1b[31m: Be brief. > One? > {first} > Two?"
    assert "The models are being loaded." in asked.err
    assert calls == ["Generate, kept 300 s", "Generate, kept 300 s", "UnloadRun", "Generate, kept 900 s"]
    assert "tuned model, 3 tokens in 0.0 s, cut: --max-new-tokens" in kept.out
    assert "base model" not in kept.out


async def test_what_a_model_says_does_not_command_the_terminal(
    ftf: Ftf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither markup nor control characters; questions come line by line from a pipe, "/new" forgets."""
    async with served(world()) as server:
        await filled(server, ftf, tmp_path)
        monkeypatch.setattr("sys.stdin", io.StringIO("One?\n\n/new\nTwo?\n/exit\nThree?\n"))
        shown = await ftf(server, "chat", "r1")

    assert shown.code == exits.OK
    assert "[bold]heard [31m: One?" in shown.out
    assert "[bold]heard [31m: Two?" in shown.out
    assert "Three?" not in shown.out
    assert "\x1b" not in shown.out


async def test_a_judgement_stands_with_its_run(ftf: Ftf, tmp_path: Path) -> None:
    """Told with its interval when it is made, and from then on with the run and in comparisons."""
    async with served(world()) as server:
        await filled(server, ftf, tmp_path)
        judged = await ftf(server, "judge", "--llm", "j", "--pairs", "4")
        shown = await ftf(server, "runs", "r1")
        call = server.world.calls[-1]

    line = "63% of 4 (95 %: 23% to 90%): 2 won, 1 lost, 1 tied, 1 without a verdict"
    assert (judged.code, call) == (exits.OK, "JudgeRun by llmEndpoints/j, 4 pairs")
    assert f"tuned better  {line.replace('63%', '62%')}" in judged.out
    assert "judge         qwen at llmEndpoints/j" in judged.out
    assert "generalise" not in judged.out
    assert "judged" in shown.out
    assert "tuned better in 62% of 4" in shown.out


async def test_a_run_that_is_watched_may_be_judged_at_its_end(ftf: Ftf, tmp_path: Path) -> None:
    """A judge that is away costs it nothing but a warning."""
    async with served(world()) as server:
        await filled(server, ftf, tmp_path)
        judged = await ftf(server, "train", "--id", "r2", "--watch", "--judge-llm", "j")
        away = await ftf(server, "train", "--id", "r3", "--watch", "--judge-llm", "away")

    assert (judged.code, away.code) == (exits.OK, exits.OK)
    assert "tuned better in 62% of 4" in judged.out
    assert "not judged: The LLM is away" in away.err
    assert "succeeded" in away.out


async def test_ctrl_c_ends_while_a_question_is_waited_for(ftf: Ftf, tmp_path: Path) -> None:
    """At a terminal: the process ends at once, and the models are let go."""
    async with served(world()) as server:
        await filled(server, ftf, tmp_path)
        parent, child = pty.openpty()
        words = ["-m", "finetuneflow_client.cli.main", "chat", "r1", "--server", server.address]
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *words,
            env={**os.environ, "FTF_TOKEN": TOKEN},
            stdin=child,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        os.close(child)
        assert process.stderr
        said = b""
        while b"you> " not in said:
            said += await asyncio.wait_for(process.stderr.read(100), 60)
        process.send_signal(signal.SIGINT)
        await asyncio.wait_for(process.communicate(), 60)
        os.close(parent)
        calls = [call for call in server.world.calls if call.startswith("Unload")]

    assert process.returncode == exits.INTERRUPTED
    assert calls == ["UnloadRun"]
