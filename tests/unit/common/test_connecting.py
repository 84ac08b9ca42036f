"""Why a connection failed, in words for people."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import aiohttp
import httpx
import pytest

from services.common import connecting


async def by_aiohttp(url: str) -> None:
    """Ask as LLMs are asked."""
    async with aiohttp.ClientSession() as session, session.post(url, json={}) as answer:
        await answer.read()


async def by_httpx(url: str) -> None:
    """Ask as hubs are asked."""
    async with httpx.AsyncClient() as client:
        await client.post(url, json={})


async def failure(ask: Callable[[str], Awaitable[None]], url: str) -> BaseException:
    """Return what comes of asking."""
    try:
        await ask(url)
    except (aiohttp.ClientError, httpx.HTTPError) as error:
        return error
    raise AssertionError(url)


@pytest.mark.parametrize("ask", [by_aiohttp, by_httpx])
async def test_a_server_that_is_down_or_hangs_up_is_told_in_words(ask: Callable[[str], Awaitable[None]]) -> None:
    """No class of a library, whose names say nothing to people."""

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    closed = connecting.why(await failure(ask, url))
    server.close()
    await server.wait_closed()
    down = connecting.why(await failure(ask, url))

    assert "hung up" in closed
    assert down == "nothing listens there"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(113, "some driver's words"), "no route to host"),
        (ConnectionResetError(), "the server hung up"),
        (TimeoutError(), "not in time"),
        (httpx.ReadTimeout("https://u:key@host"), "not in time"),
        (RuntimeError("https://u:key@host"), "RuntimeError"),
    ],
)
def test_an_error_of_the_system_is_told_without_the_drivers_words(error: BaseException, words: str) -> None:
    """These may hold a key."""
    assert connecting.why(error) == words
