"""From argv to an exit code: parse, connect, run the command, and turn every error into one plain line."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from argparse import Namespace
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, cast

from finetuneflow_client import __version__
from finetuneflow_client.cli import exits
from finetuneflow_client.cli.grammar.parser import build
from finetuneflow_client.errors import FtfError

if TYPE_CHECKING:
    from finetuneflow_client.cli.grammar.command import Command
    from finetuneflow_client.cli.session import Session


def main(argv: Sequence[str] | None = None) -> int:
    """Run `ftf` and return its exit code. No exception leaves it but SystemExit, from a wrong command line."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show a character gets a question mark, not an error.
        with contextlib.suppress(AttributeError, ValueError):
            stream.reconfigure(errors="replace")  # type: ignore[union-attr]  # text files have it, other streams may not
    try:
        code = _run(sys.argv[1:] if argv is None else argv)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        # Whoever read the results has gone, such as `| head`. Python must not try to flush what is left.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return exits.PIPE
    except (Exception, KeyboardInterrupt) as error:
        return report(error)


def report(error: BaseException) -> int:
    """Print an error on one plain line and return the exit code that it means."""
    code = exits.FAILED
    if isinstance(error, FtfError):
        line, code = str(error), exits.exit_code(error)
    elif isinstance(error, KeyboardInterrupt):
        line, code = "interrupted — work that was started goes on in the server", exits.INTERRUPTED
    else:
        line = _unforeseen(error)
    with contextlib.suppress(OSError, ValueError, KeyboardInterrupt):
        print("ftf: " + " ".join(line.split()), file=sys.stderr, flush=True)
    return code


def resolve(command: Command) -> Callable[..., Awaitable[int | None] | int | None]:
    """Import the function that carries a command out."""
    module, _, function = command.runs.partition(".")
    found = getattr(importlib.import_module(f"finetuneflow_client.cli.{module}"), function)
    return cast("Callable[..., Awaitable[int | None] | int | None]", found)


def _run(argv: Sequence[str]) -> int:
    """Parse and carry out; without a command, print help."""
    if "_ARGCOMPLETE" in os.environ:
        from finetuneflow_client.cli import completing

        completing.answer()
    parser = build(argv)
    args = parser.parse_args(argv)
    if args.of_client:
        print(f"ftf {__version__}")
        return exits.OK
    command = getattr(args, "command", None)
    if command is None:
        getattr(args, "outer", parser).print_help()
        return exits.OK if getattr(args, "outer", None) is None else exits.USAGE
    # gRPC's own log is for those who develop it.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    if not command.connects:
        return cast("int | None", resolve(command)(args)) or exits.OK
    import asyncio
    import signal

    # As Ctrl-C, so that a live view gives the terminal its cursor back.
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    return asyncio.run(connected(command, args))


async def connected(command: Command, args: Namespace) -> int:
    """Carry out a command that needs a server."""
    from finetuneflow_client.cli.output import Output
    from finetuneflow_client.cli.screen import Screen
    from finetuneflow_client.cli.session import Session
    from finetuneflow_client.client import Services

    handler = cast("Callable[[Session], Awaitable[int | None]]", resolve(command))
    where = {"token_file": args.token_file, "state": args.state, "tls_ca": args.tls_ca, "profile": args.profile}
    async with Services.connect(args.server, **where) as flow:
        session = Session(args, flow, Screen(quiet=args.quiet), Output(as_json=args.json))
        try:
            return await handler(session) or exits.OK
        except FtfError as error:
            if error.code != "NOT_FOUND":
                raise
            from finetuneflow_client.cli import missing

            raise await missing.explained(flow, error) from error


def _unforeseen(error: BaseException) -> str:
    """Return the line for an error that nobody thought of; with FTF_DEBUG=1 its traceback goes to a file."""
    what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    if os.environ.get("FTF_DEBUG") != "1":
        return f"a mistake in ftf: {what} — repeat with FTF_DEBUG=1 to keep the details, and report it"
    import tempfile
    import traceback

    with tempfile.NamedTemporaryFile("w", prefix="ftf-", suffix=".log", delete=False) as file:
        traceback.print_exception(error, file=file)
    return f"a mistake in ftf: {what} — report it with {file.name}"


if __name__ == "__main__":
    sys.exit(main())
