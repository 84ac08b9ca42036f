"""Requests to the Kubernetes API in plain JSON, and what its refusals mean to us."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any
from urllib.parse import urlencode

import aiohttp
from kubernetes.aio.client import ApiClient
from kubernetes.aio.config import ConfigException

from services.common.errors import (
    AlreadyExists,
    Conflict,
    FineTuneFlowError,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    Unavailable,
)

Object = dict[str, Any]
"""A Kubernetes object as JSON."""

_CONNECT_SECONDS = 5.0
_TOTAL_SECONDS = 15.0
_MAX_RETRY_AFTER = 30.0
_AWAY = "It is tried again; if it stays away, see to the control plane."


class Expired(Conflict):
    """The resourceVersion is too old: list again."""


class KubeApi:
    """One namespace of a cluster.

    Errors of every method: Unavailable (no connection, 401, 429, 5xx), with retry_after where the server gave one;
    NotFound; AlreadyExists; Conflict; Expired (410); PermissionDenied (403, of `create` alone); InvalidArgument (400,
    413, 422), the last two with the server's own words.

    Args:
        client: the connection; its owner closes it.
        namespace: for the paths that `path` makes.
    """

    def __init__(self, client: ApiClient, namespace: str) -> None:
        self._client = client
        self.namespace = namespace

    def path(self, kind: str, name: str = "", part: str = "") -> str:
        """Return the path of a collection of this namespace, or of one object, or of one of its subresources.

        Args:
            kind: plural, with its group where that is not the core: "pods", "batch/v1/jobs".
        """
        group, _, plural = kind.rpartition("/")
        root = f"/apis/{group}" if group else "/api/v1"
        return "/".join(filter(None, (f"{root}/namespaces/{self.namespace}", plural, name, part)))

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> Object:
        """Read an object or a list."""
        return await self._json("GET", path, query=query)

    async def find(self, path: str) -> Object | None:
        """Read an object; None if it is not there."""
        with contextlib.suppress(NotFound):
            return await self.get(path)
        return None

    async def metadata(self, path: str, query: Mapping[str, str]) -> list[Object]:
        """List objects with their metadata only: what a Secret holds is not sent."""
        accept = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
        items: list[Object] = (await self._json("GET", path, query=query, accept=accept)).get("items") or []
        return items

    async def create(self, path: str, body: Object) -> Object:
        """Create an object; AlreadyExists if its name is taken."""
        return await self._json("POST", path, body)

    async def patch(self, path: str, body: Object) -> Object:
        """Merge into an object; lists are replaced."""
        return await self._json("PATCH", path, body, content="application/merge-patch+json")

    async def delete(self, path: str, options: Object | None = None) -> None:
        """Delete an object; if it is not there, do nothing."""
        with contextlib.suppress(NotFound):
            await self._json("DELETE", path, options or {})

    @contextlib.asynccontextmanager
    async def stream(
        self, path: str, query: Mapping[str, str], silence_seconds: float
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """Open a response that goes on, as chunks of bytes; silence longer than given ends it as Unavailable."""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS, sock_read=silence_seconds)
        response = await self._send("GET", path, None, query, timeout=timeout)
        try:
            yield _chunks(response)
        finally:
            response.close()

    async def _json(
        self,
        method: str,
        path: str,
        body: Object | None = None,
        query: Mapping[str, str] | None = None,
        *,
        content: str = "application/json",
        accept: str = "application/json",
    ) -> Object:
        timeout = aiohttp.ClientTimeout(total=_TOTAL_SECONDS, sock_connect=_CONNECT_SECONDS)
        response = await self._send(method, path, body, query, timeout=timeout, content=content, accept=accept)
        with _explained():
            answer: Object = json.loads(await response.read())
        return answer

    async def _send(
        self,
        method: str,
        path: str,
        body: Object | None,
        query: Mapping[str, str] | None,
        *,
        timeout: aiohttp.ClientTimeout,
        content: str = "application/json",
        accept: str = "application/json",
    ) -> aiohttp.ClientResponse:
        settings = self._client.configuration
        url = settings.host.rstrip("/") + path + (f"?{urlencode(query)}" if query else "")
        headers = {"Accept": accept, "Content-Type": content, "User-Agent": "finetuneflow"}
        with _explained():
            for auth in (await settings.auth_settings()).values():
                headers[auth["key"]] = auth["value"]
            rest: Any = self._client.rest_client
            answer = await rest.request(method, url, headers=headers, body=body, _request_timeout=timeout)
            response: aiohttp.ClientResponse = answer.response
            if response.status >= 400:
                error = refusal(response.status, await response.text(errors="replace"), response.headers)
                if isinstance(error, PermissionDenied) and method != "POST":
                    # Admission refuses what is made; reading, changing and removing is a matter of roles alone.
                    raise Unavailable(
                        f"This service may not do what it must: {error}. Give its ServiceAccount the chart's Role.",
                        reason="CONFIGURATION",
                    )
                raise error
        return response


def refusal(status: int, text: str, headers: Mapping[str, str]) -> FineTuneFlowError:
    """Return the error that an answer of the API server's stands for."""
    message = _message(text) or f"HTTP {status}"
    if status in (408, 429) or status >= 500:
        return Unavailable(
            f"The Kubernetes API server is busy or away ({message}). {_AWAY}", retry_after=_seconds(headers)
        )
    if status == 401:
        return Unavailable(
            "The Kubernetes API server does not take this service's token. Check its ServiceAccount.",
            reason="CONFIGURATION",
        )
    if status == 409:
        taken = '"reason":"AlreadyExists"' in text.replace(" ", "")
        return AlreadyExists(message) if taken else Conflict(message)
    known: dict[int, type[FineTuneFlowError]] = {403: PermissionDenied, 404: NotFound, 410: Expired}
    return known.get(status, InvalidArgument)(message)


def _message(text: str) -> str:
    try:
        status = json.loads(text)
    except ValueError:
        return text.strip()[:500]
    return str(status.get("message", ""))[:2000] if isinstance(status, dict) else ""


def _seconds(headers: Mapping[str, str]) -> float:
    given = headers.get("Retry-After", "")
    return min(float(given), _MAX_RETRY_AFTER) if given.isdigit() else 0.0


async def _chunks(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    with _explained():
        async for chunk in response.content.iter_any():
            yield chunk


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except (aiohttp.ClientError, ConfigException, OSError, ValueError) as error:  # OSError: timeouts and TLS, too
        what = str(error) or type(error).__name__
        raise Unavailable(f"The Kubernetes API server does not answer ({what[:300]}). {_AWAY}") from None
