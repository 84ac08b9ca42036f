"""Which server, and which token.

First what was passed, then the environment (FTF_SERVER with FTF_TOKEN or FTF_TOKEN_FILE, FTF_PROFILE, FTF_STATE), then
the profile in use, then the server that `ftf up` started: its state folder holds server.json (address, pid, start time,
version) and token (readable by its owner only).
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from finetuneflow_client import profiles
from finetuneflow_client.errors import FtfError

_NO_SERVER = "start it with `ftf up`, or name one with --server, FTF_SERVER or `ftf login`"


@dataclass(frozen=True)
class Server:
    """A server to talk to.

    Attributes:
        address: host:port, or https://host[:port] for TLS.
        token: the bearer token; empty sends none.
        tls_ca: file with the certificates to trust with TLS; empty for the system's.
    """

    address: str
    token: str = field(repr=False)
    tls_ca: str = ""


@dataclass(frozen=True)
class LocalServer:
    """What `ftf up` wrote about itself.

    Attributes:
        address: host:port.
        pid: its process.
        start_time: when that process began, in clock ticks since boot; a pid is used again, the pair is not.
        version: of FineTuneFlow.
    """

    address: str
    pid: int
    start_time: int
    version: str


def state_folder(state: str = "", env: Mapping[str, str] | None = None) -> Path:
    """Return where `ftf up` keeps everything: `state`, else $FTF_STATE, else a folder in the user's state home."""
    env = os.environ if env is None else env
    chosen = state or env.get("FTF_STATE", "")
    if chosen:
        return Path(chosen).expanduser()
    base = env.get("XDG_STATE_HOME", "") or str(Path("~/.local/state").expanduser())
    return Path(base) / "finetuneflow"


def find_server(
    server: str = "",
    token_file: str = "",
    state: str = "",
    env: Mapping[str, str] | None = None,
    *,
    profile: str = "",
    tls_ca: str = "",
) -> Server:
    """Return the server to talk to.

    Args:
        server: address as the user gave it; empty looks further.
        token_file: file with the token; empty looks further.
        state: the state folder of `ftf up`; empty for its default place.
        env: the environment; None for this process's own.
        profile: name of a server that the user has logged in to; of it also the token, whatever the environment says.
        tls_ca: file with certificates; empty looks further.

    Raises:
        FtfError: UNAVAILABLE if no server is named and none runs here; NOT_FOUND if there is no such profile;
            INVALID_ARGUMENT if token or profiles cannot be read, or a profile is named beside a server or state folder;
            FAILED_PRECONDITION if others may read the file of profiles.
    """
    env = os.environ if env is None else env
    if profile:
        if server or state:
            problem = "a profile names a server, and so does --server or --state"
            raise FtfError(problem, "give one of them", code="INVALID_ARGUMENT")
        kept = profiles.load(env).named(profile)
        return Server(kept.server, _token(token_file, {}) or kept.token, tls_ca or kept.ca_file)
    # A state folder named on the command line is meant: the environment's server is then another one.
    address = server or ("" if state else env.get("FTF_SERVER", ""))
    token = _token(token_file, env) if token_file or not state else ""
    tls_ca = tls_ca or env.get("FTF_TLS_CA", "")
    if not address and not state and (found := _profile(env)):
        return Server(found.server, token or found.token, tls_ca or found.ca_file)
    return _told(address, token, tls_ca, state_folder(state, env))


def _told(address: str, token: str, tls_ca: str, folder: Path) -> Server:
    """Return the server at an address, or without one that of a state folder."""
    local = read_local(folder)
    if address:
        # Whoever names the server of this machine by its address means its token too.
        own = local is not None and address.removeprefix("http://").rstrip("/") == local.address and is_alive(local)
        return Server(address, token or (_read(folder / "token") if own else ""), tls_ca)
    if local is None:
        raise FtfError(f"no server runs from {folder}", _NO_SERVER, code="UNAVAILABLE")
    if not is_alive(local):
        raise FtfError(f"the server of {folder} has ended without a word", _NO_SERVER, code="UNAVAILABLE")
    return Server(local.address, token or _read(folder / "token"))


def read_local(folder: Path) -> LocalServer | None:
    """Return what the server of a state folder wrote about itself; None if there is nothing, or half a file."""
    try:
        found: dict[str, Any] = json.loads((folder / "server.json").read_text())
        return LocalServer(str(found["address"]), int(found["pid"]), int(found["start_time"]), str(found["version"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def is_alive(local: LocalServer) -> bool:
    """Return whether the process that wrote server.json still runs: its pid, and where the system says, its start."""
    try:
        os.kill(local.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    started = process_start(local.pid)
    return started is None or started == local.start_time


def process_start(pid: int) -> int | None:
    """Return when a process began, in clock ticks since boot (proc(5)); None where there is no /proc.

    0 stands for a process that has ended and whose parent has not yet asked for its exit status.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return 0 if fields[0] == "Z" else int(fields[19])


def named_token(token_file: str) -> str:
    """Return the token of a file, else that of the environment; empty if neither names one. Raises INVALID_ARGUMENT."""
    return _token(token_file, os.environ)


def _profile(env: Mapping[str, str]) -> profiles.Profile | None:
    """Return the profile that the environment names, else the one in use, unless it names a state folder."""
    if chosen := env.get("FTF_PROFILE", ""):
        return profiles.load(env).named(chosen)
    if env.get("FTF_STATE"):
        return None
    kept = profiles.load(env)
    return kept.named(kept.used) if kept.used else None


def _token(token_file: str, env: Mapping[str, str]) -> str:
    """Return the token that a file or the environment names; empty if none does."""
    if token_file:
        return _read(Path(token_file).expanduser())
    if env.get("FTF_TOKEN"):
        return env["FTF_TOKEN"].strip()
    return _read(Path(env["FTF_TOKEN_FILE"]).expanduser()) if env.get("FTF_TOKEN_FILE") else ""


def _read(path: Path) -> str:
    """Return a file's text without the line end."""
    try:
        return path.read_text().strip()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "not text"
        message = f"cannot read the token in {path}: {why}"
        raise FtfError(message, "check --token-file", code="INVALID_ARGUMENT") from error
