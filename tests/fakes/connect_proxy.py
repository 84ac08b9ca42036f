"""A proxy on loopback as companies have one: CONNECT to a host, then whatever is sent there."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping


class ConnectProxy:
    """The proxy.

    Args:
        hosts: host → port of loopback that it is found at; any other host is refused with HTTP 403.
    """

    def __init__(self, hosts: Mapping[str, int]) -> None:
        self._hosts = hosts
        self.asked: list[str] = []
        self.url = ""

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one client."""
        with contextlib.closing(writer), contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            verb, target, _ = (await reader.readuntil(b"\r\n\r\n")).decode().split(" ", 2)
            self.asked.append(target)
            host = target.partition(":")[0]
            if verb != "CONNECT" or host not in self._hosts:
                writer.write(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n")
                await writer.drain()
                return
            other = await asyncio.open_connection("127.0.0.1", self._hosts[host])
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            await asyncio.gather(_passed(reader, other[1]), _passed(other[0], writer))


async def _passed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.closing(writer), contextlib.suppress(ConnectionError):
        while block := await reader.read(65536):
            writer.write(block)
            await writer.drain()


@contextlib.asynccontextmanager
async def proxy(hosts: Mapping[str, int]) -> AsyncIterator[ConnectProxy]:
    """Serve until the block ends."""
    found = ConnectProxy(hosts)
    tasks: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(found.accept(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    found.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield found
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
