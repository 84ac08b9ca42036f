"""The Kubernetes API in plain JSON: what the bed's own programs, and tests that look at raw objects, speak."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp
import yaml  # type: ignore[import-untyped]  # Comes with kubernetes, without types.

Json = dict[str, Any]


class ApiError(Exception):
    """The API server refused: `code` is the HTTP status, the text its message."""

    def __init__(self, code: int, message: str) -> None:
        """Keep both."""
        super().__init__(f"{code}: {message}")
        self.code = code


CALL = 10.0  # seconds that one call may take
AWAY = (aiohttp.ClientError, TimeoutError, ConnectionError, OSError)


def path_of(kind: str, namespace: str = "", name: str = "", sub: str = "") -> str:
    """Return the path of a resource: kind is "pods", or "apps/v1/deployments" with its group."""
    group, _, plural = kind.rpartition("/")
    parts = ["/api/v1" if not group else f"/apis/{group}"]
    parts += ["namespaces", namespace] if namespace else []
    return "/".join([*parts, plural, *([name] if name else []), *([sub] if sub else [])])


class Api:
    """A connection of the administrator's. Errors: ApiError, and AWAY when the API server does not answer."""

    def __init__(self, kubeconfig: Path) -> None:
        """Read address, certificate and token; nothing is connected before the first call."""
        config = yaml.safe_load(kubeconfig.read_text(encoding="utf-8"))
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        self.server: str = cluster["server"]
        self._token: str = user["token"]
        self._ca: str = cluster["certificate-authority"]
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        """Open the session."""
        tls = ssl.create_default_context(cafile=self._ca)
        self._session = aiohttp.ClientSession(
            self.server,
            headers={"Authorization": f"Bearer {self._token}"},
            connector=aiohttp.TCPConnector(ssl=tls, limit=0),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=5),
            read_bufsize=1 << 22,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        assert self._session is not None
        await self._session.close()

    @contextlib.asynccontextmanager
    async def _open(
        self, method: str, path: str, timeout: float, **options: Any
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        assert self._session is not None, "an Api is used inside `async with`"
        limit = aiohttp.ClientTimeout(total=timeout or None, sock_connect=5)
        async with self._session.request(method, path, timeout=limit, **options) as reply:
            if reply.status >= 400:
                text = await reply.text()
                with contextlib.suppress(ValueError, AttributeError):
                    text = json.loads(text).get("message", text)
                raise ApiError(reply.status, text)
            yield reply

    async def call(
        self, method: str, path: str, body: object = None, *, query: Mapping[str, str] | None = None
    ) -> Json:
        """Make one call and return its JSON."""
        form = "application/strategic-merge-patch+json" if method == "PATCH" else "application/json"
        options: dict[str, Any] = {"params": query or {}}
        if body is not None:
            options |= {"data": json.dumps(body), "headers": {"Content-Type": form}}
        async with self._open(method, path, CALL, **options) as reply:
            found: Json = await reply.json()
            return found

    async def text(self, path: str, **query: str) -> str:
        """Return the body of a GET as text."""
        async with self._open("GET", path, 10, params=query) as reply:
            return await reply.text()

    async def lines(self, path: str, **query: str) -> AsyncIterator[str]:
        """Yield the lines of a GET's body as they come."""
        async with self._open("GET", path, 0, params=query) as reply:
            async for line in reply.content:
                yield line.decode().rstrip("\n")

    async def get(self, kind: str, namespace: str = "", name: str = "") -> Json:
        """Return one object. Raises ApiError 404."""
        return await self.call("GET", path_of(kind, namespace, name))

    async def list(self, kind: str, namespace: str = "", **query: str) -> list[Json]:
        """Return all objects of a kind; query may hold labelSelector and fieldSelector."""
        items: list[Json] = (await self.call("GET", path_of(kind, namespace), query=query))["items"]
        return items

    async def create(
        self, kind: str, namespace: str, body: Mapping[str, object], sub: str = "", name: str = ""
    ) -> Json:
        """Create an object, or a sub-resource of the one named. Raises ApiError 409 and so on."""
        return await self.call("POST", path_of(kind, namespace, name, sub), body)

    async def patch(self, kind: str, namespace: str, name: str, body: Mapping[str, object], sub: str = "") -> Json:
        """Merge into an object or its status; lists such as conditions merge by their keys."""
        return await self.call("PATCH", path_of(kind, namespace, name, sub), body)

    async def delete(self, kind: str, namespace: str, name: str, **options: object) -> None:
        """Delete an object; it may be gone. Options: gracePeriodSeconds, propagationPolicy, preconditions."""
        try:
            await self.call("DELETE", path_of(kind, namespace, name), options or None)
        except ApiError as error:
            if error.code not in (404, 409):
                raise

    async def watch(self, kind: str, namespace: str = "", **query: str) -> AsyncIterator[tuple[str, Json]]:
        """Yield (type, object) for ever: SYNC with the list at each new beginning, then ADDED, MODIFIED, DELETED.

        It goes on through outages of the API server.
        """
        path = path_of(kind, namespace)
        while True:
            with contextlib.suppress(*AWAY, ApiError, ValueError):
                found = await self.call("GET", path, query=query)
                yield "SYNC", found
                version = found["metadata"]["resourceVersion"]
                async for line in self.lines(path, watch="true", resourceVersion=version, **query):
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        break
                    yield event["type"], event["object"]
            await asyncio.sleep(0.3)
