"""A link that breaks: a TCP proxy that ends connections after so many bytes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

_STALL_SECONDS = 0.3
_ARRIVAL_SECONDS = 60.0


class Link:
    """What goes over it, and when it breaks.

    `up` and `down` are taken from, one for each connection: bytes towards the server, or from it, after which nothing
    more passes, and a moment later the connection is gone. Connections after them are whole.

    `arrived`, if it is set, says how many bytes of an upload the server has; each connection then ends when that is the
    next of `until`, however slow the machine is.
    """

    arrived: Callable[[], Awaitable[int]] | None = None

    def __init__(self, target: str) -> None:
        self.target = target
        self.up: list[int] = []
        self.down: list[int] = []
        self.until: list[int] = []
        self.sent = 0
        self.address = ""

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection."""
        up = self.up.pop(0) if self.up else 1 << 62
        down = self.down.pop(0) if self.down else 1 << 62
        host, _, port = self.target.rpartition(":")
        try:
            inner, outer = await asyncio.open_connection(host, int(port))
        except OSError:
            writer.transport.abort()
            return
        ways = [asyncio.ensure_future(self._pump(reader, outer, up, True))]
        ways.append(asyncio.ensure_future(self._pump(inner, writer, down, False)))
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            writer.transport.abort()
            outer.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, left: int, up: bool) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65_536):
                writer.write(data[:left])
                await writer.drain()
                left -= len(data)
                self.sent += len(data) if up else 0
                if left <= 0:
                    await self._arrival()
                    return

    async def _arrival(self) -> None:
        if not (self.arrived and self.until):
            await asyncio.sleep(_STALL_SECONDS)
            return
        wanted = self.until.pop(0)
        async with asyncio.timeout(_ARRIVAL_SECONDS):
            while await self.arrived() < wanted:  # noqa: ASYNC110 - the server tells nobody
                await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def link(target: str) -> AsyncIterator[Link]:
    """Lead to an address over a link that can break."""
    found = Link(target)
    server = await asyncio.start_server(found.carry, "127.0.0.1", 0)
    found.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield found
    finally:
        server.close()
