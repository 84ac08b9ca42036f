"""HTTP to LLM servers: one request, one whole answer of limited length, within a time.

aiohttp and not httpx: with 256 calls in flight httpx needs 17 ms of CPU a call to look through its connections, aiohttp
0.4 ms.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from services.common import connecting

MAX_REPLY_BYTES = 4 * 1024 * 1024
"""Of an answer, unless its caller says otherwise."""


def proxied(url: str) -> bool:
    """Whether the environment's proxies are for calls to a URL: not those to this machine."""
    return urlsplit(url).hostname not in ("127.0.0.1", "localhost", "::1")


class NoAnswer(Exception):
    """No whole answer came; late: because its time was over."""

    def __init__(self, words: str, late: bool = False) -> None:
        super().__init__(words)
        self.late = late


@dataclass(frozen=True)
class Answer:
    """An answer: its status, its Retry-After header or "", its bytes."""

    status: int
    retry_after: str
    content: bytes

    def json(self) -> Any:
        """Return the parsed content. Raises ValueError or RecursionError."""
        return json.loads(self.content)

    @property
    def text(self) -> str:
        """The content as text, what is not UTF-8 replaced."""
        return self.content.decode(errors="replace")


class Transport:
    """Connections to one server, kept open between calls. Redirects are not followed. Close it at the end."""

    def __init__(self, base_url: str) -> None:
        self._base_url = base_url
        self._session: aiohttp.ClientSession | None = None
        self.closed = False

    async def post(
        self, path: str, body: Mapping[str, Any], headers: Mapping[str, str], seconds: float, most_bytes: int
    ) -> Answer:
        """Send a JSON body to a path below the base URL and return the answer.

        Raises:
            NoAnswer: no connection, no answer in that time, or one of more bytes.
        """
        timeout = aiohttp.ClientTimeout(total=seconds, sock_connect=min(10.0, seconds))
        try:
            # The list of URLs that may be called would mean little if a server could send its callers elsewhere.
            async with self._opened().post(
                self._base_url + path, json=body, headers=headers, timeout=timeout, allow_redirects=False
            ) as answer:
                content = bytearray()
                async for block in answer.content.iter_any():
                    content += block
                    if len(content) > most_bytes:
                        raise NoAnswer(f"a reply of more than {most_bytes} bytes")
                return Answer(answer.status, answer.headers.get("retry-after", ""), bytes(content))
        except TimeoutError as error:
            raise NoAnswer(f"no answer within {seconds:g} s", late=True) from error
        except aiohttp.ClientHttpProxyError as error:
            raise NoAnswer(f"no connection (status {error.status}: {connecting.PROXY_REFUSES})") from error
        except aiohttp.ClientProxyConnectionError as error:
            words = "the proxy of HTTPS_PROXY does not answer: correct it, or name the LLM's host in NO_PROXY"
            raise NoAnswer(f"no connection ({words})") from error
        except (aiohttp.ClientError, OSError, asyncio.IncompleteReadError, RuntimeError) as error:
            raise NoAnswer(f"no connection ({connecting.why(error)})") from error

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            secure = connecting.certificates() if self._base_url.startswith("https:") else False
            connector = aiohttp.TCPConnector(limit=0, ssl=secure)
            self._session = aiohttp.ClientSession(connector=connector, trust_env=proxied(self._base_url))
        return self._session

    async def close(self) -> None:
        """Close the connections; calls then fail."""
        self.closed = True
        if self._session is not None:
            await self._session.close()
