"""A kubelet whose pods are processes of this machine: a Node, its heartbeat, its pods, their logs.

    python -m tests.cluster.bed.kubelet --kubeconfig FILE --bed FOLDER --number N --node JSON

The node is at 10.244.N.1 and serves logs on port 10250. POST to /bed/vanish, /bed/come-back, /bed/oom and /bed/evict
(?pod=UID&container=NAME) makes what a test needs to happen; GET /bed/pods tells the processes of each pod.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.cluster.bed import podlogs
from tests.cluster.bed.api import Api
from tests.cluster.bed.containers import Container
from tests.cluster.bed.heartbeat import heartbeat, register
from tests.cluster.bed.nodehost import NodeHost
from tests.cluster.bed.podworker import PodWorker

Json = dict[str, Any]
PORT = 10250


class Kubelet:
    """The pods of one node."""

    def __init__(self, host: NodeHost, number: int) -> None:
        """Begin without pods."""
        self._host = host
        self._workers: dict[str, PodWorker] = {}
        self._addresses = self._all_addresses(number)

    def _all_addresses(self, number: int) -> Iterator[str]:
        """Yield addresses for pods for ever, none that a pod still has."""
        while True:
            for last in range(2, 255):
                address = f"10.244.{number}.{last}"
                if address not in {worker.state.ip for worker in self._workers.values()}:
                    yield address

    async def follow(self) -> None:
        """Run the pods that the scheduler gives this node."""
        async for kind, found in self._host.api.watch("pods", fieldSelector=f"spec.nodeName={self._host.name}"):
            await self._host.present()
            if kind == "SYNC":
                live = {pod["metadata"]["uid"]: pod for pod in found["items"]}
                for uid in self._workers.keys() - live.keys():
                    self._remove(uid)
                for pod in live.values():
                    self._take(pod)
            elif kind == "DELETED":
                self._remove(found["metadata"]["uid"])
            elif kind in ("ADDED", "MODIFIED"):
                self._take(found)

    def _take(self, pod: Json) -> None:
        worker = self._workers.get(pod["metadata"]["uid"])
        if worker:
            worker.update(pod)
            return
        if pod.get("status", {}).get("phase") in ("Succeeded", "Failed"):
            return
        worker = PodWorker(self._host, pod, next(self._addresses))
        self._workers[worker.uid] = worker
        worker.update(pod)

    def _remove(self, uid: str) -> None:
        worker = self._workers.pop(uid, None)
        if worker:
            task = asyncio.create_task(worker.remove())
            _kept.add(task)
            task.add_done_callback(_kept.discard)

    def watch_again(self) -> None:
        """See all pods anew: what was missed while the node was away."""
        self._restart.set()

    async def run(self) -> None:
        """Follow the pods; begin anew when the node comes back."""
        self._restart = asyncio.Event()
        while True:
            follow = asyncio.create_task(self.follow())
            again = asyncio.create_task(self._restart.wait())
            await asyncio.wait([follow, again], return_when=asyncio.FIRST_COMPLETED)
            self._restart.clear()
            follow.cancel()
            again.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await follow

    # What the HTTPS port serves.

    def routes(self) -> list[web.RouteDef]:
        """Return the paths of the API server's and of the tests'."""
        return [
            web.get("/containerLogs/{namespace}/{pod}/{container}", self._logs),
            web.get("/bed/pods", self._pods),
            web.post("/bed/{what}", self._do),
        ]

    async def _logs(self, request: web.Request) -> web.StreamResponse:
        if self._host.away and request.transport:
            request.transport.abort()
        want = request.match_info
        container = self._container(want["namespace"], want["pod"], want["container"])
        if container is None:
            raise web.HTTPNotFound(text=f"pod {want['namespace']}/{want['pod']} has no such container here")
        life = container.state.restarts - (request.query.get("previous") == "true")
        if not container.log(life).exists() and life == container.state.restarts > 0:
            life -= 1
        if not container.log(life).exists():
            waiting = container.state.state.get("waiting", {}).get("reason", "not started")
            raise web.HTTPBadRequest(text=f'container "{want["container"]}" is waiting to start: {waiting}')
        return await podlogs.serve(
            request, container.log(life), lambda: container.writes(life), lambda: self._host.away
        )

    def _container(self, namespace: str, pod: str, name: str) -> Container | None:
        for worker in self._workers.values():
            meta = worker.pod["metadata"]
            if (meta["namespace"], meta["name"]) == (namespace, pod):
                return next((c for c in worker.containers if c.state.name == name), None)
        return None

    async def _pods(self, request: web.Request) -> web.Response:
        """Tell the processes: pod UID → container → pid, 0 when it has ended."""
        found = {uid: {c.state.name: c.pid for c in w.containers} for uid, w in self._workers.items()}
        return web.json_response(found)

    async def _do(self, request: web.Request) -> web.Response:
        what, worker = request.match_info["what"], self._workers.get(request.query.get("pod", ""))
        if what == "vanish":
            self._host.vanish()
        elif what == "come-back":
            self._host.come_back()
            self.watch_again()
        elif what == "oom" and worker:
            name = request.query.get("container", worker.state.main[0].name)
            if not any(c.out_of_memory() for c in worker.containers if c.state.name == name):
                raise web.HTTPConflict(text="it does not run")
        elif what == "evict" and worker:
            worker.evict(request.query.get("message", "The node was low on resource: ephemeral-storage."))
        else:
            raise web.HTTPNotFound(text="no such pod, or no such thing to do")
        return web.json_response({})


_kept: set[asyncio.Task[None]] = set()


async def serve(kubelet: Kubelet, ip: str, certificates: Path) -> None:
    """Serve logs. The API server checks no kubelet's certificate here, so its own serves as well."""
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificates / "apiserver.crt", certificates / "apiserver.key")
    app = web.Application()
    app.add_routes(kubelet.routes())
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, ip, PORT, ssl_context=tls).start()


async def main() -> None:
    """Run one node until the process is ended; its containers end with it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kubeconfig", type=Path, required=True)
    parser.add_argument("--bed", type=Path, required=True)
    parser.add_argument("--number", type=int, required=True)
    parser.add_argument("--node", type=json.loads, required=True)
    options = parser.parse_args()
    async with Api(options.kubeconfig) as api:
        ip = f"10.244.{options.number}.1"
        backoff = float(os.environ.get("BED_RESTART_BACKOFF", "1"))
        host = NodeHost(api, options.node["metadata"]["name"], ip, options.bed, backoff)
        kubelet = Kubelet(host, options.number)
        await serve(kubelet, ip, options.bed / "control" / "certs")
        await register(host, options.node)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(heartbeat(host))
            tasks.create_task(kubelet.run())


if __name__ == "__main__":
    asyncio.run(main())
