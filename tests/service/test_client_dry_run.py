"""`ftf train --dry-run`: problems, shares and the tokens that are trained on, for people and for programs."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from google.rpc import error_details_pb2, status_pb2

from finetuneflow.training.v1 import check_pb2, training_service_pb2
from finetuneflow_client.cli import exits
from finetuneflow_client.cli.output import Output
from finetuneflow_client.cli.view import check as view
from finetuneflow_client.errors import from_status
from tests.fakes.client_checks import checked
from tests.fakes.client_server import served
from tests.service.test_client_cli import Ftf, filled, ftf, world

__all__ = ["ftf"]


async def test_a_dry_run_shows_what_is_trained_on_and_starts_nothing(ftf: Ftf, tmp_path: Path) -> None:
    """In a pipe brackets stand for the colour; what would move a terminal's cursor is not passed on."""
    async with served(world()) as server:
        await filled(server, ftf, tmp_path)
        before = set(server.world.runs)
        dry = await ftf(server, "train", "--dry-run", "--id", "r2")
        without = await ftf(server, "train", "--dry-run", "--id", "r2", "--preview", "0")
        after = set(server.world.runs)
    lines = dry.out.splitlines()

    assert (dry.code, after) == (exits.OK, before)
    assert "every check passed; nothing was started" in dry.err
    assert "e1: 2 of 5 tokens trained on, 7 tokens cut off" in lines
    assert "Why?�[31m<|im_end|>" in lines
    assert "[[So.<end>]]" in lines
    assert "trained on  2,000 of 5,000 tokens (40.0%)" in lines
    assert "cut         50 of 1,000 examples (5.0%), 700 tokens" in lines
    assert "examples    1,200 to train on, 60 held out, 40 recall" in lines
    assert "looked at   1,000 of 1,200 examples" in lines
    assert "disk   9.0 GB free" in lines
    assert "queue  2 jobs at work or waiting" in lines
    assert "e1:" not in without.out


async def test_a_dry_run_that_would_be_refused_says_all_of_it_and_fails(ftf: Ftf, tmp_path: Path) -> None:
    """Each problem with its remedy; the exit code is that of a refusal, with --json too."""
    async with served(world()) as server:
        await filled(server, ftf, tmp_path)
        plain = await ftf(server, "train", "--dry-run", "--r", "4096")
        machine = await ftf(server, "train", "--dry-run", "--r", "4096", "--json")
    found = json.loads(machine.out)["check"]
    lines = plain.out.splitlines()

    assert (plain.code, machine.code) == (exits.FAILED, exits.FAILED)
    assert lines[0].split(maxsplit=1) == ["run", "none: this is a dry run, nothing was started"]
    assert "r 4096 (refused)" in plain.out
    assert "state" not in plain.out
    assert lines[-3:] == [
        "refused  config.lora.r: r is too large.",
        "         Choose a smaller one.",
        "warning  Few are held out.",
    ]
    assert "it would be refused; nothing was started" in plain.err
    assert "no recommendation" not in plain.err  # for the same reason
    assert [p["reason"] for p in found["problems"]] == ["REASON_INVALID_FIELD", "REASON_FEW_EVAL_EXAMPLES"]
    assert [token["trained"] for token in found["labels"]["examples"][0]["tokens"]] == [False] * 3 + [True] * 2


async def test_what_warns_is_said_of_a_run_that_is_started_too(ftf: Ftf, tmp_path: Path) -> None:
    """With --quiet too, on stderr; a run without warnings says nothing of the kind."""
    async with served(world()) as server:
        await filled(server, ftf, tmp_path)
        thin = await ftf(server, "train", "--r", "1", "--id", "a", "--quiet")
        usual = await ftf(server, "train", "--id", "b", "--quiet")

    assert (thin.code, thin.err, usual.err) == (exits.OK, "warning  Few are held out.\n", "")


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """See io."""
        return True


def test_in_a_terminal_the_tokens_are_coloured_unless_colours_are_not_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Green where they have a loss; NO_COLOR and dumb terminals get brackets instead."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    stream = Terminal()
    output = Output(stream)
    coloured = output.coloured
    request = training_service_pb2.CreateRunRequest(preview_examples=1)
    output.render(view.coloured(checked(request).labels.examples[0].tokens))
    monkeypatch.setenv("NO_COLOR", "1")
    unwanted = Output(stream).coloured
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")

    assert (coloured, unwanted, Output(stream).coloured, Output(io.StringIO()).coloured) == (True, False, False, False)
    assert "\x1b[1;92mSo\x1b[0m\x1b[1;32m.<end>\x1b[0m" in stream.getvalue()
    assert "\x1b[31m" not in stream.getvalue()


def test_of_a_preference_both_answers_are_shown() -> None:
    """Each with its prompt, and named; of anything else there is one."""
    token = check_pb2.LabelledToken
    one = check_pb2.LabelledExample(tokens=[token(text="Q "), token(text="good", trained=True)])
    pair = check_pb2.LabelledExample(rejected_tokens=[token(text="Q "), token(text="bad", trained=True)])
    pair.MergeFrom(one)

    assert [word for word, _ in view.answers(one)] == [""]
    assert [(word, view.marked(tokens)) for word, tokens in view.answers(pair)] == [
        ("chosen:", "Q [[good]]"),
        ("rejected:", "Q [[bad]]"),
    ]


def test_several_reasons_of_one_refusal_are_said_one_a_line() -> None:
    """As a server that refuses a run sends them."""
    status = status_pb2.Status(code=3, message="A is 1. Use 2. Also: B is gone. Bring it.")
    kind = error_details_pb2.BadRequest.FieldViolation
    violations = [kind(field="a", description="A is 1. Use 2."), kind(field="b", description="B is gone. Bring it.")]
    status.details.add().Pack(error_details_pb2.BadRequest(field_violations=violations))

    assert str(from_status(status)) == "A is 1 — use 2\nalso: B is gone — bring it"
