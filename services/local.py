"""All five services in one process, on one machine: what `ftf up` runs.

Everything lies in one folder: documents in SQLite, objects in a folder, events in a real nats-server that is a child
of this process, runs in child processes that outlive it. One process at a time may use a folder.
"""

from __future__ import annotations

import argparse
import asyncio
import errno
import fcntl
import json
import os
import re
import secrets
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc

from finetuneflow.ingest.v1 import ingest_service_pb2, ingest_service_pb2_grpc
from services.common.config import VERSION, Config
from services.common.errors import Conflict, FineTuneFlowError, InvalidArgument
from services.common.hubtoken import hub_token
from services.common.jobs.process import ProcessJobs
from services.common.main import stop_signal, wait_for_end
from services.common.natsserver import NatsServer
from services.common.runtime import Compose
from services.common.secretfiles import Secrets, write_private
from services.common.server import Program, running
from services.common.telemetry import set_up_logging
from services.common.variables import MOST_PORT, host_port
from services.dataset.compose import compose as dataset
from services.export.compose import compose as export
from services.hardware.compose import compose as hardware
from services.ingest.compose import compose as ingest
from services.training.compose import compose as training

COMPOSES: dict[str, Compose] = {
    "ingest": ingest,
    "dataset": dataset,
    "hardware": hardware,
    "training": training,
    "export": export,
}
SERVER_FILE = "server.json"
TOKEN_FILE = "token"  # noqa: S105  # the name of a file, not a token
USER = "local"
# Those of `ftf`: a wrong value, the right command at the wrong time; 1 for all else.
_EXITS: dict[type[FineTuneFlowError], int] = {InvalidArgument: 2, Conflict: 4}
_FULL = (errno.ENOSPC, errno.EDQUOT)


def default_state() -> Path:
    """Return $FTF_STATE, or finetuneflow below the user's state folder (XDG Base Directory Specification)."""
    if chosen := os.environ.get("FTF_STATE"):
        return Path(chosen)
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "finetuneflow"


@contextmanager
def only_one(state: Path) -> Iterator[None]:
    """Hold the state folder; it is made if it is missing.

    Raises:
        Conflict: another process holds it.
    """
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (state / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise Conflict(
                f"{state} is in use: `ftf up` runs already. Use it, end it with `ftf down`, or choose another --state."
            ) from error
        yield


def token(state: Path) -> str:
    """Return the folder's token, made at first, in a file that only its owner can read."""
    path = state / TOKEN_FILE
    if not path.exists():
        write_private(path, secrets.token_urlsafe(32).encode())
    return path.read_text().strip()


def port(state: Path, wanted: int) -> int:
    """Return the port to serve at: the wanted one, else the one of last time, else 0 for any."""
    if wanted:
        return wanted
    try:
        return int(json.loads((state / "port.json").read_text())["port"])
    except (OSError, ValueError, KeyError):
        return 0


def config(state: Path, number: int, nats_url: str, options: argparse.Namespace) -> Config:
    """Return the configuration of one machine."""
    return Config(
        state=state,
        documents=f"sqlite://{state}/documents/{{service}}.db",
        objects=f"file://{state}/objects",
        nats=nats_url,
        listen=f"127.0.0.1:{number}",
        allow_hub=options.allow_hub,
        metrics=options.metrics,
        hub_token_file=Path(file) if (file := os.environ.get("FTF_HUB_TOKEN_FILE")) else None,
    )


async def serve(state: Path, options: argparse.Namespace, began: float) -> None:
    """Serve until SIGTERM or SIGINT; then let the trainers save their checkpoints."""
    stop = stop_signal()
    nats = NatsServer(state / "nats")
    await nats.start()
    try:
        settings = config(state, port(state, options.port), nats.url, options)
        token_of_hub = hub_token(settings.hub_token_file, Secrets(state / "secrets").get, os.environ)
        jobs = ProcessJobs(state / "jobs", hub_token=token_of_hub)
        async with running(settings, {USER: token(state)}, COMPOSES, jobs) as program:
            known = await has_projects(program.address, token(state))
            announce(state, program, began, as_json=options.json, quiet=options.quiet, known=known)
            try:
                await wait_for_end(stop, program.failed())
                _say(options.quiet, "ftf: stopping; trainers save their checkpoints first\n")
                jobs.hold()
                await program.shut_down()
            finally:
                (state / SERVER_FILE).unlink(missing_ok=True)
                await jobs.close()
    finally:
        await nats.stop()


async def has_projects(address: str, bearer: str) -> bool:
    """Return whether there is a project at a server, as the user with a token sees it; where it does not say, yes."""
    options = [("grpc.enable_http_proxy", 0)]  # a proxy for the world is not one for this machine
    async with grpc.aio.insecure_channel(address, options) as channel:
        stub: Any = ingest_service_pb2_grpc.IngestServiceStub(channel)
        request = ingest_service_pb2.ListProjectsRequest(page_size=1)
        try:
            found = await stub.ListProjects(request, timeout=5, metadata=(("authorization", f"Bearer {bearer}"),))
        except grpc.RpcError:  # it decides about a hint alone
            return True
    return bool(found.projects)


def announce(
    state: Path, program: Program, began: float, *, as_json: bool = False, quiet: bool = False, known: bool = False
) -> None:
    """Write where the server is, for clients, and say it: on stderr, and as one line of JSON on stdout.

    Args:
        known: whether there is a project already, which is then what comes next.
    """
    number = int(program.address.rpartition(":")[2])
    write_private(state / "port.json", json.dumps({"port": number}).encode())
    facts = {"address": program.address, "pid": os.getpid(), "start_time": _start_time(), "version": VERSION}
    write_private(state / SERVER_FILE, json.dumps(facts).encode())
    seconds = time.monotonic() - began
    if as_json:
        print(json.dumps({**facts, "token_file": str(state / TOKEN_FILE)}), flush=True)
    _say(
        quiet,
        f"ftf: ready at {program.address} after {seconds:.1f} s; state in {state}; token in {state / TOKEN_FILE}\n"
        "ftf: Ctrl-C or `ftf down` ends it. Next, in another terminal: ftf project "
        f"{'list' if known else 'create NAME'}\n",
    )


def _say(quiet: bool, text: str) -> None:
    if not quiet:
        sys.stderr.write(text)
        sys.stderr.flush()


def _port(text: str) -> int:
    """Return a port, 0 for any. Raises ArgumentTypeError for what is none."""
    if not re.fullmatch("[0-9]{1,5}", text) or int(text) > MOST_PORT:
        raise argparse.ArgumentTypeError(f"{text[:40]} is no port; use 1 to {MOST_PORT}, or 0 for one that is free")
    return int(text)


def _metrics(text: str) -> str:
    """Return host:port, "" for none. Raises ArgumentTypeError for what is neither."""
    try:
        return host_port(text) if text else ""
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text[:80]} is not {error}") from None


def _start_time() -> int:
    """Return this process's start, in clock ticks since boot (proc(5), field 22)."""
    return int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(prog="ftf up", description="All five services on this machine, in one process.")
    parser.add_argument(
        "--state", type=Path, default=default_state(), help="folder for everything (default: %(default)s)"
    )
    parser.add_argument(
        "--port",
        type=_port,
        default=0,
        metavar="N",
        help="on 127.0.0.1, 1 to 65535 (0: that of last time, or a free one)",
    )
    parser.add_argument("--allow-hub", action="store_true", help="allow downloads from a model hub")
    parser.add_argument(
        "--metrics", type=_metrics, default="", metavar="HOST:PORT", help="serve Prometheus metrics there"
    )
    parser.add_argument("--json", action="store_true", help="print where it is as one line of JSON once it is ready")
    parser.add_argument("--quiet", action="store_true", help="print warnings and errors only")
    parser.add_argument("--log-level", default="WARNING", choices=["DEBUG", "INFO", "WARNING", "ERROR"])
    return parser


def main() -> None:
    """Run `ftf up`."""
    began = time.monotonic()
    options = parser().parse_args()
    set_up_logging(options.log_level)
    try:
        state = options.state.absolute()
        with only_one(state):
            asyncio.run(serve(state, options, began))
    except FineTuneFlowError as error:
        print(f"ftf: {error}", file=sys.stderr)
        sys.exit(_EXITS.get(type(error), 1))
    except OSError as error:
        if error.filename is None and error.errno not in _FULL:
            sys.exit(f"ftf: {error.strerror or error}.")
        remedy = "Free some space, or choose" if error.errno in _FULL else "Choose"
        where = error.filename or options.state
        sys.exit(f"ftf: {where} cannot be used: {error.strerror}. {remedy} another --state, that you may write to.")


if __name__ == "__main__":
    main()
