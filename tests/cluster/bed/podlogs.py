"""Logs of containers, as the kubelet serves them to the API server: live streams, the last lines, the one before."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from aiohttp import web

POLL = 0.05  # seconds between looks for new lines


def log_path(folder: Path, container: str, restart: int) -> Path:
    """Return the file of one life of a container; each line in it stands behind its time and a space."""
    return folder / "logs" / f"{container}.{restart}.log"


def tail(lines: list[bytes], query: web.BaseRequest) -> list[bytes]:
    """Return the lines that a request asks for."""
    if since := query.query.get("sinceTime") or query.query.get("sinceSeconds"):
        if since.isdigit():
            since = (datetime.now(UTC) - timedelta(seconds=int(since))).strftime("%Y-%m-%dT%H:%M:%S")
        lines = [line for line in lines if line[:19] >= since[:19].encode()]
    if "tailLines" in query.query:
        count = int(query.query["tailLines"])
        lines = lines[-count:] if count else []
    return lines


async def written(path: Path, live: Callable[[], bool]) -> AsyncIterator[bytes]:
    """Yield what is written to a file, from where it is now, while `live` says so and until all is read."""
    with path.open("rb") as file:
        while True:
            going = live()
            part = await asyncio.to_thread(file.read, 1 << 20)
            if part:
                yield part
            elif going:
                await asyncio.sleep(POLL)
            else:
                return


async def serve(
    request: web.Request, path: Path, live: Callable[[], bool], away: Callable[[], bool]
) -> web.StreamResponse:
    """Answer one request for a log.

    Args:
        path: the log.
        live: whether more may be written to it.
        away: whether the node has gone: the stream breaks off.
    """
    stamped = request.query.get("timestamps") == "true"
    left = int(request.query.get("limitBytes", 1 << 40))
    reply = web.StreamResponse(headers={"Content-Type": "text/plain"})
    reply.enable_chunked_encoding()
    await reply.prepare(request)
    pending = b""
    first = True
    follow = request.query.get("follow") == "true"
    async for part in written(path, (lambda: live() and not away()) if follow else lambda: False):
        *lines, pending = (pending + part).split(b"\n")
        if first:
            lines, first = tail(lines, request), False
        text = b"".join((line if stamped else line.partition(b" ")[2]) + b"\n" for line in lines)[:left]
        left -= len(text)
        await reply.write(text)
    if away() and request.transport:
        request.transport.abort()
    await reply.write_eof()
    return reply
