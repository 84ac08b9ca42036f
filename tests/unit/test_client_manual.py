"""The help of each command: a sentence, a paragraph, and examples that the command takes."""

from __future__ import annotations

import contextlib
import io
import shlex

import pytest

from finetuneflow_client.cli.grammar.command import Command
from finetuneflow_client.cli.grammar.manual import pages
from finetuneflow_client.cli.grammar.parser import COMMANDS, build
from tests.service.test_client_streams import leaves

LONGEST_PARAGRAPH = 700


def test_every_command_has_a_page_of_the_manual_and_no_page_is_of_none() -> None:
    """A new command is written down before it lands; one that goes takes its page along."""
    assert set(pages()) == {command.words for command in COMMANDS}


def test_every_help_has_a_paragraph_and_examples() -> None:
    """What a leaf of the parser prints: sentence, paragraph, flags, Examples."""
    helps = {parser.prog: parser.format_help() for parser in leaves(build())}
    bare = [prog for prog, text in helps.items() if f"\nExamples:\n  {prog}" not in text]
    wide = [prog for prog, text in helps.items() if any(len(line) > 160 for line in text.splitlines())]

    assert len(helps) == len(COMMANDS)
    assert (bare, wide) == ([], [])


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.words)
def test_every_example_of_the_manual_is_taken(command: Command) -> None:
    """By the parser itself, as that very command."""
    page = pages()[command.words]

    assert 40 < len(page.paragraph) < LONGEST_PARAGRAPH
    assert page.paragraph.endswith(".")
    assert command.example not in page.examples
    for example in page.examples:
        words = shlex.split(example)
        assert words[0] == "ftf"
        assert taken(words[1:]) in (command, None), example


def taken(words: list[str]) -> Command | None:
    """Return the command that words mean; None for those that print something and end."""
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            found: Command = build(words).parse_args(words).command
        except SystemExit as end:
            if end.code:
                raise
            return None
    return found
