"""Probes: the real checks of a container's life and readiness."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import aiohttp
import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.cluster.bed.process import ContainerProcess

Json = dict[str, Any]
FAILED = (aiohttp.ClientError, grpc.RpcError, OSError, TimeoutError)


def port_number(container: Json, port: int | str) -> int:
    """Return the number of a port that may be given by name."""
    if isinstance(port, int) or port.isdigit():
        return int(port)
    return next(int(entry["containerPort"]) for entry in container.get("ports", []) if entry.get("name") == port)


async def http_get(action: Json, container: Json, ip: str) -> bool:
    """A GET that answers with 2xx or 3xx."""
    scheme, host = action.get("scheme", "HTTP").lower(), action.get("host") or ip
    url = f"{scheme}://{host}:{port_number(container, action['port'])}{action.get('path', '/')}"
    headers = {entry["name"]: entry["value"] for entry in action.get("httpHeaders", [])}
    async with aiohttp.ClientSession() as session, session.get(url, headers=headers, ssl=False) as reply:
        return reply.status < 400


async def tcp_socket(action: Json, container: Json, ip: str) -> bool:
    """A connection that is accepted."""
    _, writer = await asyncio.open_connection(action.get("host") or ip, port_number(container, action["port"]))
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True


async def grpc_health(action: Json, ip: str) -> bool:
    """A gRPC health check that says SERVING."""
    async with grpc.aio.insecure_channel(f"{ip}:{action['port']}") as channel:
        request = health_pb2.HealthCheckRequest(service=action.get("service") or "")
        reply = await health_pb2_grpc.HealthStub(channel).Check(request)
        return bool(reply.status == health_pb2.HealthCheckResponse.SERVING)


async def passes(probe: Json, container: Json, ip: str, process: ContainerProcess, env: Mapping[str, str]) -> bool:
    """Make one probe; too late is a failure."""
    timeout = float(probe.get("timeoutSeconds", 1))
    if "exec" in probe:
        return await process.execute(probe["exec"]["command"], env, timeout) == 0
    try:
        async with asyncio.timeout(timeout):
            if "httpGet" in probe:
                return await http_get(probe["httpGet"], container, ip)
            if "tcpSocket" in probe:
                return await tcp_socket(probe["tcpSocket"], container, ip)
            return await grpc_health(probe["grpc"], ip)
    except FAILED:
        return False


async def follow(probe: Json, once: Callable[[], Awaitable[bool]], say: Callable[[bool], Awaitable[bool]]) -> None:
    """Probe again and again; tell each change of the verdict, the first one included.

    Args:
        probe: its periods and thresholds.
        once: makes one probe.
        say: is told True or False; returns whether to go on.
    """
    await asyncio.sleep(float(probe.get("initialDelaySeconds", 0)))
    verdict: bool | None = None
    row = 0
    last: bool | None = None
    while True:
        found = await once()
        row = row + 1 if found == last else 1
        last = found
        enough = int(probe.get("successThreshold", 1)) if found else int(probe.get("failureThreshold", 3))
        if row >= enough and verdict != found:
            verdict = found
            if not await say(found):
                return
        await asyncio.sleep(float(probe.get("periodSeconds", 10)))
