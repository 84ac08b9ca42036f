"""Servers to talk to, by name: log in, choose, forget."""

from __future__ import annotations

import ipaddress
import os
from argparse import Namespace
from pathlib import Path
from urllib.parse import urlsplit

from finetuneflow_client import profiles
from finetuneflow_client.cli import exits
from finetuneflow_client.cli.output import Output
from finetuneflow_client.cli.screen import Screen
from finetuneflow_client.cli.typed import typed
from finetuneflow_client.discovery import named_token
from finetuneflow_client.errors import FtfError

_COLUMNS = ("PROFILE", "USED", "SERVER", "TOKEN", "CERTIFICATES")
_DEFAULT = "default"


def login(args: Namespace) -> int:
    """Keep a server and a token under a name, once the server has taken the token."""
    import asyncio

    name = profiles.checked_name(args.profile or os.environ.get("FTF_PROFILE", "") or _DEFAULT)
    before = profiles.load()
    token = typed("token") if args.ask_token else named_token(args.token_file)
    if not token or not token.isascii() or not token.isprintable():
        what = "that is not a token" if token else "a token is needed"
        raise FtfError(what, "give --token-file or --ask-token, or set FTF_TOKEN", code="INVALID_ARGUMENT")
    trusted = args.tls_ca or os.environ.get("FTF_TLS_CA", "")
    ca_file = str(Path(trusted).expanduser().absolute()) if trusted else ""
    warn_of_open(args.server, Screen(quiet=args.quiet))
    version = asyncio.run(_version(args.server, token, ca_file))
    path = profiles.save(before.added(profiles.Profile(name, args.server, token, ca_file)))
    output = Output(as_json=args.json)
    if args.json:
        output.json({"profile": name, "server": args.server, "version": version, "file": str(path)})
    output.line(f"{name}: {args.server}, version {version}")
    Screen(quiet=args.quiet).say(f"kept in {path}, and used from now on; `ftf profiles use` chooses another")
    return exits.OK


def warn_of_open(server: str, screen: Screen) -> None:
    """Say that a token goes over a network without TLS: to another host than this one, by another scheme than https."""
    if server.startswith("https://"):
        return
    host = urlsplit(server if "://" in server else f"//{server}").hostname or ""
    try:
        here = ipaddress.ip_address(host).is_loopback
    except ValueError:
        here = host == "localhost"
    if not here:
        screen.warn(f"ftf: the token goes to {server} unencrypted — serve it by TLS, and log in to https://…")


async def _version(server: str, token: str, tls_ca: str) -> str:
    """Return the version of a server that takes the token. Raises FtfError UNAUTHENTICATED, UNAVAILABLE, …"""
    from finetuneflow.common.v1 import server_service_pb2
    from finetuneflow_client.client import Services

    async with Services.connect(server, token, tls_ca=tls_ca) as flow:
        return (await flow.server.GetServerInfo(server_service_pb2.GetServerInfoRequest())).version


def list_profiles(args: Namespace) -> int:
    """List the profiles; a token is never shown."""
    kept = profiles.load()
    used = os.environ.get("FTF_PROFILE", "") or kept.used
    found = sorted(kept.found.values(), key=lambda profile: profile.name)
    output = Output(as_json=args.json)
    if args.json:
        told = [
            {
                "profile": p.name,
                "used": p.name == used,
                "server": p.server,
                "ca_file": p.ca_file,
                "token": bool(p.token),
            }
            for p in found
        ]
        output.json({"profiles": told})
    else:
        rows = [
            (p.name, "yes" if p.name == used else "", p.server, "yes" if p.token else "none", p.ca_file) for p in found
        ]
        output.table(_COLUMNS, rows)
    return exits.OK


def use(args: Namespace) -> int:
    """Choose the profile that counts where nothing else is said."""
    kept = profiles.load().using(args.name)
    profiles.save(kept)
    output = Output(as_json=args.json)
    if args.json:
        output.json({"used": kept.used})
    output.line(f"{kept.used}: {kept.named(kept.used).server}" if kept.used else "the server of `ftf up`")
    return exits.OK


def remove(args: Namespace) -> int:
    """Forget a server and its token."""
    profiles.save(profiles.load().without(args.name))
    if args.json:
        Output(as_json=True).json({"deleted": [args.name]})
    Screen(quiet=args.quiet).say(f"removed {args.name}; its token still counts at the server")
    return exits.OK
