"""The server of this machine: start it, stop it, ask how it is."""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
import time
from argparse import Namespace
from typing import TYPE_CHECKING

from finetuneflow_client.cli import exits
from finetuneflow_client.cli.output import Output
from finetuneflow_client.cli.screen import Screen
from finetuneflow_client.discovery import LocalServer, find_server, is_alive, read_local, state_folder
from finetuneflow_client.errors import FtfError

if TYPE_CHECKING:
    from finetuneflow_client.cli.session import Session

# Runs save a checkpoint and upload it before they stop.
_STOP_SECONDS = 120


def up(args: Namespace) -> int:
    """Become the server: the same process, so that Ctrl-C and a supervisor's signals reach it."""
    try:
        there = importlib.util.find_spec("services.local") is not None
    except ModuleNotFoundError:
        there = False
    if not there:
        raise FtfError(
            "the server is not installed here",
            "use the ftf of a clone (`make setup`, then .venv/bin/ftf), or install the wheels of `make wheels`: "
            '`pip install --find-links dist "finetuneflow[local,trainer]"`',
            code="FAILED_PRECONDITION",
        )
    # -P: a folder "services" where the user happens to be is not the server.
    command = [sys.executable, "-P", "-m", "services.local", "--state", str(state_folder(args.state))]
    if args.port is not None:
        command += ["--port", str(args.port)]
    if args.allow_hub:
        command.append("--allow-hub")
    if args.metrics:
        command += ["--metrics", args.metrics]
    command += [flag for flag, given in (("--json", args.json), ("--quiet", args.quiet)) if given]
    os.execv(sys.executable, command)  # noqa: S606  # no shell is meant: an argument list


def down(args: Namespace) -> int:
    """Ask the server to end, and wait until it has."""
    folder = state_folder(args.state)
    local = read_local(folder)
    if local is None or not is_alive(local):
        Screen(quiet=args.quiet).say(f"ftf: no server runs from {folder}")
        return _ended(args, None)
    try:
        os.kill(local.pid, signal.SIGTERM)
    except PermissionError:
        message = f"the server (process {local.pid}) belongs to somebody else"
        raise FtfError(message, "stop it as that user", code="PERMISSION_DENIED") from None
    deadline = time.monotonic() + _STOP_SECONDS
    while is_alive(local):
        if time.monotonic() > deadline:
            message = f"the server (process {local.pid}) has not ended after {_STOP_SECONDS} seconds"
            raise FtfError(message, "look at what it prints, and repeat", code="INTERNAL")
        time.sleep(0.1)
    Screen(quiet=args.quiet).say("the server has stopped")
    return _ended(args, local)


def _ended(args: Namespace, local: LocalServer | None) -> int:
    """Write as JSON whether a server was stopped, and which; None for none."""
    if args.json:
        Output(as_json=True).json({"stopped": local is not None, **(vars(local) if local else {})})
    return exits.OK


async def status(session: Session) -> None:
    """Show where the server is and what it can do."""
    from finetuneflow.common.v1 import server_service_pb2

    info = await session.flow.server.GetServerInfo(server_service_pb2.GetServerInfoRequest())
    if session.output.as_json:
        session.output.message(info)
        return
    args = session.args
    session.output.facts(
        {
            "server": find_server(args.server, args.token_file, args.state, profile=args.profile).address,
            "version": info.version,
            "services": ", ".join(info.services),
            "can do": "\n".join(info.capabilities),
        }
    )
