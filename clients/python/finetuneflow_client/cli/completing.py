"""Completion in a shell: at each Tab the shell asks `ftf` itself for commands, flags, values and names.

argcomplete does it. Its script is never out of date, and what it asks knows the names of runs and datasets, as a static
script cannot.
"""

from __future__ import annotations

import os
from argparse import Action, ArgumentParser, Namespace, _SubParsersAction
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import argcomplete
from argcomplete.shell_integration import shellcode

from finetuneflow_client.cli.grammar.parser import build
from finetuneflow_client.cli.output import Output
from finetuneflow_client.errors import FtfError

if TYPE_CHECKING:
    from finetuneflow_client.cli.session import Session

# What stands for the name of something that the server has.
_KINDS = {
    "PROJECT": "projects",
    "RUN": "runs",
    "RUN[/checkpoint-N]": "runs",
    "DATASET": "datasets",
    "EXPORT": "exports",
    "MODEL": "models",
}
_OF_NO_PROJECT = ("projects", "models")
# Somebody waits for the Tab.
_SECONDS = 2.0


def completion(args: Namespace) -> None:
    """Print what a shell has to read so that it completes `ftf`."""
    script = shellcode(["ftf"], shell=args.shell)
    output = Output(as_json=args.json)
    if args.json:
        output.json({"shell": args.shell, "script": script})
    else:
        output.raw(script)


def answer() -> None:
    """Answer the shell that asks by the variables of argcomplete, and end the process."""
    line = os.environ["COMP_LINE"][: int(os.environ.get("COMP_POINT", "") or 1 << 20)]
    parser = build(line.split()[1:])
    for inner in _all(parser):
        for action in inner._actions:
            if completer := _completer(action):
                action.completer = completer  # type: ignore[attr-defined]  # argcomplete's own way
    argcomplete.autocomplete(parser, always_complete_options="long")


def _all(parser: ArgumentParser) -> Iterable[ArgumentParser]:
    yield parser
    for action in parser._actions:
        if isinstance(action, _SubParsersAction):
            for inner in action.choices.values():
                yield from _all(inner)


def _completer(action: Action) -> Callable[..., Iterable[str]] | None:
    """Return what completes an argument; None leaves it to its choices or to the names of files."""
    if action.dest == "profile":
        return _profiles
    if action.dest == "llm_model" or not isinstance(action.metavar, str) or action.metavar not in _KINDS:
        return None
    kind = _KINDS[action.metavar]

    def names(prefix: str, parsed_args: Namespace, **_: Any) -> list[str]:
        import asyncio

        try:
            return asyncio.run(asyncio.wait_for(_names(kind, parsed_args), _SECONDS))
        except (FtfError, TimeoutError):
            return []

    return names


def _profiles(**_: Any) -> list[str]:
    from finetuneflow_client import profiles

    try:
        return sorted(profiles.load().found)
    except FtfError:
        return []


async def _names(kind: str, args: Namespace) -> list[str]:
    """Return the ids of all that a server has of a kind. Raises FtfError or TimeoutError where none answers at once."""
    from finetuneflow_client import names
    from finetuneflow_client.cli.screen import Screen
    from finetuneflow_client.cli.session import Session
    from finetuneflow_client.client import Services

    where = {name: getattr(args, name, "") or "" for name in ("token_file", "state", "tls_ca", "profile")}
    async with Services.connect(
        getattr(args, "server", "") or "", **where, wait=_SECONDS, deadline=_SECONDS, patience=0
    ) as flow:
        session = Session(args, flow, Screen(quiet=True), Output())
        return [names.short(name) for name in await _listed(session, kind)]


async def _listed(session: Session, kind: str) -> list[str]:
    ask: Any = getattr(session.flow, kind)
    found = ask() if kind in _OF_NO_PROJECT else ask(await session.project())
    return [one.name async for one in found]
