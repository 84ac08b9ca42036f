"""All commands as one argparse parser."""

from __future__ import annotations

import argparse
import difflib
import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from typing import Any, NoReturn

from finetuneflow_client.cli import exits
from finetuneflow_client.cli.grammar import (
    chats,
    documents,
    examples,
    logins,
    models,
    reruns,
    reviews,
    server,
    templates,
    transfers,
    weights,
)
from finetuneflow_client.cli.grammar.command import Command

COMMANDS: tuple[Command, ...] = (
    *server.COMMANDS,
    *logins.COMMANDS,
    *documents.COMMANDS,
    *templates.COMMANDS,
    *examples.COMMANDS,
    *reviews.COMMANDS,
    *transfers.COMMANDS,
    *models.COMMANDS,
    *weights.COMMANDS,
    *reruns.COMMANDS,
    *chats.COMMANDS,
)

_NOUNS = {
    "profiles": "Servers that you have logged in to with `ftf login`.",
    "model": "Base models: pinned, hashed, described from their files.",
    "project": "Projects: what belongs together.",
    "template": "Prompt templates: what an LLM is asked, in versions that never change.",
    "llm": "LLM servers that write examples.",
    "dataset": "Training examples made from documents, each with its evidence.",
}

_FLOW = """\
the flow, in order (another terminal runs `ftf up`):
  ftf project create handbook       a place for what belongs together
  ftf model add ./smollm2           the base model
  ftf upload docs/                  documents: PDF, Word, slides, sheets, HTML, text, …
  ftf chunk --model smollm2         cut them, by the model's own tokens
  ftf llm create local --url http://127.0.0.1:11434/v1 --llm-model qwen3
  ftf dataset preview               a few examples, to see what comes
  ftf dataset generate              write, check and freeze them
  ftf hardware --model smollm2      what fits here, and why
  ftf train --model smollm2 --watch
  ftf report                        base model against tuned model
  ftf chat                          ask both, side by side
  ftf export --format merged --watch
  ftf download -o model             weights, checked by hash

or all of it, in one command that may be interrupted and repeated:
  ftf run docs/ --model ./smollm2 --llm-url URL --llm-model NAME -o out

which server: flags (--server, --profile, --state), then the environment (FTF_SERVER, FTF_PROFILE, FTF_STATE), then the
profile in use (`ftf profiles use`), then the server that `ftf up` started here
environment: FTF_SERVER, FTF_TOKEN or FTF_TOKEN_FILE, FTF_TLS_CA, FTF_PROFILE, FTF_STATE, FTF_PROJECT, FTF_LLM_API_KEY,
NO_COLOR, XDG_CONFIG_HOME, XDG_STATE_HOME
"""
_ON_THIS_MACHINE = ("up", "down")
_WHERE = "a flag counts before the environment, that before the profile in use, that before the server of `ftf up`"


class _Parser(ArgumentParser):
    """Ends a wrong command line with one plain line instead of the usage; keeps the lines of its epilog.

    Abbreviated flags are wrong, so that a new flag breaks no script.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False, **options)

    def format_help(self) -> str:
        """Return the help, of a command with its page of the manual."""
        if command := self._defaults.get("command"):
            from finetuneflow_client.cli.grammar import manual

            self.description, self.epilog = manual.written(command)
        return super().format_help()

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """Say which command may have been meant, instead of listing all."""
        if isinstance(action, argparse._SubParsersAction) and value not in action.choices:
            close = difflib.get_close_matches(str(value), list(action.choices), 1)
            self.error(f'there is no command "{value}"' + (f'; did you mean "{close[0]}"?' if close else ""))
        super()._check_value(action, value)

    def parse_known_args(  # type: ignore[override]  # its overloads say the same of the same parameters
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[Any, list[str]]:
        """Parse as argparse does, and refuse here what it leaves to the outermost parser: here the flags are known."""
        found, left = super().parse_known_args(args, namespace)
        if left:
            # A word after a flag that nobody knows is its value.
            flags = [word for word in left if word.startswith("-")]
            self.error("; ".join(map(self._unknown, flags or left)))
        return found, left

    def _unknown(self, word: str) -> str:
        if not word.startswith("-"):
            return f'"{word}" is one word too many'
        flag = word.partition("=")[0]
        known = [option for option, action in self._option_string_actions.items() if action.help != argparse.SUPPRESS]
        close = difflib.get_close_matches(flag, known, 1)
        return f'there is no flag "{flag}"' + (f'; did you mean "{close[0]}"?' if close else "")

    def error(self, message: str) -> NoReturn:
        """Print what is wrong and where to read on, and exit with code 2."""
        print(f"ftf: {message} — see `{self.prog} --help`", file=sys.stderr)
        sys.exit(exits.USAGE)


def build(argv: Sequence[str] | None = None) -> ArgumentParser:
    """Return the parser of `ftf`. Parsing sets `command` to the Command that was chosen.

    Args:
        argv: what is going to be parsed, so that only the command in it gets its arguments, which is most of the work;
            None gives every command its arguments.
    """
    chosen = None if argv is None else next((word for word in argv if not word.startswith("-")), "")
    codes = "\n".join(f"  {code:<4} {meaning}" for code, meaning in exits.MEANINGS)
    parser = _Parser(
        prog="ftf",
        description="FineTuneFlow: documents in, a fine-tuned language model out, traceable to the page.",
        epilog=f"{_FLOW}\nexit codes:\n{codes}",
        usage="ftf COMMAND …",
    )
    # Commands have a --version of their own: that of a dataset.
    parser.add_argument("--version", dest="of_client", action="store_true", help="print the version of this client")
    commands = parser.add_subparsers(title="commands", prog="ftf", metavar="COMMAND", parser_class=_Parser)
    nouns: dict[str, Any] = {}
    for command in COMMANDS:
        noun, _, verb = command.words.partition(" ")
        if verb and noun not in nouns:
            outer = commands.add_parser(noun, help=_NOUNS[noun], description=_NOUNS[noun])
            outer.set_defaults(command=None, outer=outer)
            nouns[noun] = outer.add_subparsers(title="commands", metavar="COMMAND", parser_class=_Parser)
        parsers = nouns[noun] if verb else commands
        inner = parsers.add_parser(verb or noun, help=command.sentence)
        if chosen in (None, noun):
            _fill(inner, command)
    return parser


def _fill(parser: ArgumentParser, command: Command) -> None:
    """Give a command's parser its own arguments and those that it shares with others."""
    command.arguments(parser)
    if command.project:
        parser.add_argument(
            "-p", "--project", default="", metavar="PROJECT", help="otherwise $FTF_PROJECT, or the only one"
        )
    form = "JSON Lines" if command.streams else "JSON"
    parser.add_argument("--json", action="store_true", help=f"print the result as {form}")
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress, only results and errors")
    where = parser.add_argument_group("the server", _WHERE if command.connects else None)
    if command.connects or command.words in _ON_THIS_MACHINE:
        where.add_argument("--state", default="", metavar="DIR", help="state folder of `ftf up`")
    if command.connects:
        where.add_argument(
            "--server",
            default="",
            metavar="ADDRESS",
            help="host:port or https://host; otherwise $FTF_SERVER, or that of `ftf up`",
        )
        where.add_argument(
            "--profile",
            default="",
            metavar="NAME",
            help="one of `ftf login`; otherwise $FTF_PROFILE, or that in use",
        )
        where.add_argument("--token-file", default="", metavar="FILE", help="file with the token")
        where.add_argument(
            "--tls-ca", default="", metavar="FILE", help="certificates to trust with https://; else the system's"
        )
    parser.set_defaults(command=command)
