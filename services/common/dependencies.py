"""What a set-up reaches outside of its programs, and whether each of it answers."""

from __future__ import annotations

import asyncio
import ipaddress
import urllib.parse
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import httpx

from services.common import connecting
from services.common.errors import FineTuneFlowError

PATIENCE_SECONDS = 5.0

State = Literal["ANSWERS", "FAILS", "OFF", "NOT_ASKED"]
Probe = Callable[[], Awaitable[str]]
_INSIDE = ("localhost", ".local", ".internal", ".svc", ".localdomain")


@dataclass(frozen=True)
class Dependency:
    """Something that a service reaches.

    Args:
        what: it is: "document store", "llmEndpoints/teacher".
        address: host:port, a URL or a folder, without credentials.
        probe: asks it and returns what was found; raises FineTuneFlowError, OSError or TimeoutError if it does not
            answer; None: this service cannot ask it, or does not reach it, as `state` says.
        state: of one without a probe.
        message: of one without a probe.
    """

    what: str
    address: str
    probe: Probe | None = None
    state: State = "NOT_ASKED"
    message: str = ""


@dataclass(frozen=True)
class Found:
    """What became of asking: the dependency, its state, and what was found or is to be done."""

    dependency: Dependency
    state: State
    message: str


async def ask(dependencies: Iterable[Dependency]) -> list[Found]:
    """Ask all at once, each for five seconds at most; return what was found in their order."""
    return list(await asyncio.gather(*(_ask(one) for one in dependencies)))


async def _ask(one: Dependency) -> Found:
    if one.probe is None:
        return Found(one, one.state, one.message)
    try:
        return Found(one, "ANSWERS", await asyncio.wait_for(one.probe(), PATIENCE_SECONDS))
    except FineTuneFlowError as error:
        return Found(one, "FAILS", str(error))
    except (OSError, TimeoutError) as error:
        why = error.strerror or ("not in time" if isinstance(error, TimeoutError) else "it cannot be reached")
        return Found(one, "FAILS", f"No answer ({why}). Start it, or let this service through to {one.address}.")


def of_url(what: str, url: str) -> Dependency:
    """Return the dependency of an HTTP server: any answer counts, for its paths and keys are others' business."""

    async def probe() -> str:
        try:
            trusted = await asyncio.to_thread(connecting.certificates)
            async with httpx.AsyncClient(timeout=PATIENCE_SECONDS, verify=trusted) as client:
                answer = await client.head(url)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise OSError(0, connecting.why(error)) from error
        return f"HTTP {answer.status_code}"

    return Dependency(what, url, probe)


def of_tcp(what: str, host: str, port: int) -> Dependency:
    """Return the dependency of a server that takes connections."""

    async def probe() -> str:
        _, writer = await asyncio.open_connection(host, port)
        writer.close()
        return "takes connections"

    return Dependency(what, f"{host}:{port}", probe)


def shown(url: str) -> str:
    """Return where a store's URL leads, without credentials: hosts of a server, the path of a file."""
    if url.startswith(("sqlite://", "file://")):
        return url.partition("://")[2]
    servers = [urllib.parse.urlsplit(one.strip() if "://" in one else f"x://{one.strip()}") for one in url.split(",")]
    return ",".join(found.netloc.rpartition("@")[2] for found in servers)


def outside(address: str) -> bool:
    """Whether an address is neither this machine, nor in a private network or a cluster by its name or number."""
    if address.startswith("/"):
        return False
    hosts = [urllib.parse.urlsplit(one if "://" in one else f"x://{one}").hostname or "" for one in address.split(",")]
    return any(_is_outside(host) for host in hosts)


def _is_outside(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_global
    except ValueError:
        return "." in host and not host.endswith(_INSIDE) and ".svc." not in host
