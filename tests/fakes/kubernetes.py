"""A small API server over real HTTP: objects of one namespace, list and watch, and troubles at wish."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from collections import deque
from collections.abc import AsyncIterator
from typing import Any

from aiohttp import web
from kubernetes.aio.client import ApiClient, Configuration

Json = dict[str, Any]
_END = object()


class FakeKubernetes:
    """What a KubeApi needs of an API server; label selectors are ignored.

    Args:
        troubles: answers that come before any other: (status, headers, message).
        requests: what was asked, as "GET /path?query".
    """

    def __init__(self) -> None:
        """Begin empty."""
        self.objects: dict[str, dict[str, Json]] = {}
        self.troubles: deque[tuple[int, dict[str, str], str]] = deque()
        self.requests: list[str] = []
        self.logs: dict[str, list[bytes]] = {}
        self.log_open = asyncio.Event()
        self._versions = itertools.count(100)
        self._watches: list[tuple[str, asyncio.Queue[object]]] = []
        self.version = "99"

    def put(self, path: str, name: str, **fields: Any) -> Json:
        """Create or change an object of a collection, and tell those who watch it."""
        there = self.objects.setdefault(path, {})
        kind = "MODIFIED" if name in there else "ADDED"
        self.version = str(next(self._versions))
        metadata = {"name": name, "uid": f"uid-{name}", "creationTimestamp": "2026-01-01T00:00:00Z"}
        metadata |= fields.pop("metadata", {})
        there[name] = {**fields, "metadata": {**metadata, "resourceVersion": self.version}}
        self.tell(path, {"type": kind, "object": there[name]})
        return there[name]

    def drop(self, path: str, name: str) -> None:
        """Remove an object, and tell those who watch."""
        self.version = str(next(self._versions))
        gone = self.objects[path].pop(name)
        gone = {**gone, "metadata": {**gone["metadata"], "resourceVersion": self.version}}
        self.tell(path, {"type": "DELETED", "object": gone})

    def tell(self, path: str, event: object) -> None:
        """Send an event to those who watch a collection."""
        for watched, queue in self._watches:
            if watched == path:
                queue.put_nowait(event)

    def bookmark(self, path: str, version: str) -> None:
        """Send a bookmark."""
        self.tell(path, {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": version}}})

    def expire(self, path: str) -> None:
        """Tell those who watch that their place in the history is forgotten."""
        status = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"}
        self.tell(path, {"type": "ERROR", "object": status})

    def hang_up(self) -> None:
        """Close every watch."""
        for _, queue in self._watches:
            queue.put_nowait(_END)

    def watched(self, path: str) -> int:
        """Return how many watch a collection."""
        return sum(there == path for there, _ in self._watches)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        self.requests.append(f"{request.method} {request.path_qs}")
        if self.troubles:
            status, headers, message = self.troubles.popleft()
            body = {"kind": "Status", "code": status, "message": message}
            return web.json_response(body, status=status, headers=headers)
        if request.path.endswith("/log"):
            return await self._log(request)
        if request.query.get("watch"):
            return await self._watch(request)
        if request.path in self.objects:
            items = list(self.objects[request.path].values())
            return web.json_response({"metadata": {"resourceVersion": self.version}, "items": items})
        folder, _, name = request.path.rpartition("/")
        found = self.objects.get(folder, {}).get(name)
        if found is None:
            return web.json_response({"code": 404, "reason": "NotFound", "message": "not found"}, status=404)
        return web.json_response(found)

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        entry = (request.path, asyncio.Queue[object]())
        self._watches.append(entry)
        try:
            while (event := await entry[1].get()) is not _END:
                text = event if isinstance(event, bytes) else json.dumps(event).encode() + b"\n"
                # In two halves, as a network may cut it.
                await response.write(text[: len(text) // 2])
                await response.write(text[len(text) // 2 :])
        finally:
            self._watches.remove(entry)
        return response

    async def _log(self, request: web.Request) -> web.StreamResponse:
        pod = request.path.split("/")[-2]
        if pod not in self.logs:
            return web.json_response({"code": 404, "message": "pod not found"}, status=404)
        response = web.StreamResponse()
        await response.prepare(request)
        for chunk in self.logs[pod]:
            await response.write(chunk)
        if request.query.get("follow"):
            await self.log_open.wait()
        return response


@contextlib.asynccontextmanager
async def serving(fake: FakeKubernetes) -> AsyncIterator[ApiClient]:
    """Serve at a free port, and yield a client."""
    app = web.Application(handler_args={"access_log": None})
    app.router.add_route("*", "/{path:.*}", fake.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    try:
        async with ApiClient(Configuration(host=f"http://{host}:{port}")) as client:
            yield client
    finally:
        fake.hang_up()
        fake.log_open.set()
        await runner.cleanup()
