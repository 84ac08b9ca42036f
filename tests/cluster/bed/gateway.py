"""A gateway: one gRPC address whose calls go where the GRPCRoutes of a namespace say.

    python -m tests.cluster.bed.gateway --kubeconfig FILE --namespace NAME --listen ADDRESS [--tls SECRET]

It knows what the chart uses of the Gateway API: matches by service and method (Exact), backendRefs to Services of the
same namespace, taken in turn over their ready endpoints; messages pass in both directions as they are, with metadata,
deadline, status and trailers. With --tls it serves with the certificate of that Secret.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import itertools
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from tests.cluster.bed.api import Api
from tests.cluster.bed.services import Services

Json = dict[str, Any]
ROUTES = "gateway.networking.k8s.io/v1/grpcroutes"
OPTIONS = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 1000),
]


def matches(rule: Json, service: str, method: str) -> bool:
    """Whether a rule of a GRPCRoute takes a call; one without matches takes all."""
    wanted = [match.get("method", {}) for match in rule.get("matches", [])]
    return not wanted or any(
        one.get("service", service) == service and one.get("method", method) == method for one in wanted
    )


class Gateway(grpc.GenericRpcHandler):
    """Routes every call."""

    def __init__(self, services: Services, namespace: str) -> None:
        """Begin without routes."""
        self._services, self._namespace = services, namespace
        self._routes: dict[str, Json] = {}
        self._channels: dict[str, grpc.aio.Channel] = {}
        self._turn = itertools.count()

    async def follow(self, api: Api) -> None:
        """Keep the routes up to date, for ever."""
        async for event, found in api.watch(ROUTES, self._namespace):
            if event == "SYNC":
                self._routes = {item["metadata"]["name"]: item for item in found["items"]}
            elif event == "DELETED":
                self._routes.pop(found["metadata"]["name"], None)
            elif event in ("ADDED", "MODIFIED"):
                self._routes[found["metadata"]["name"]] = found

    def _target(self, path: str) -> str | None:
        """Return the address of an endpoint for a call, "" when its Service has none ready, None without a route."""
        _, service, method = path.split("/", 2)
        for _, route in sorted(self._routes.items()):
            for rule in route["spec"].get("rules", []):
                if matches(rule, service, method):
                    backend = rule["backendRefs"][next(self._turn) % len(rule["backendRefs"])]
                    return self._endpoint(backend["name"], int(backend["port"]))
        return None

    def _endpoint(self, name: str, port: int) -> str:
        service = self._services.get(self._namespace, name) or {"spec": {}}
        names = [one.get("name", "") for one in service["spec"].get("ports", []) if one["port"] == port]
        ready = [one for one in self._services.endpoints(self._namespace, name) if one.ready]
        if not names or not ready:
            return ""
        chosen = ready[next(self._turn) % len(ready)]
        return f"{chosen.ip}:{dict(chosen.ports)[names[0]]}"

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes]:
        """Take every call as a stream of messages both ways: of one as well as of many."""
        path = str(handler_call_details.method)

        # gRPC knows an asynchronous handler by its being an asynchronous generator.
        async def handle(
            requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext[bytes, bytes]
        ) -> AsyncIterator[bytes]:
            async for message in self._forward(path, requests, context):
                yield message

        return grpc.stream_stream_rpc_method_handler(handle)

    async def _forward(
        self, path: str, requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext[bytes, bytes]
    ) -> AsyncIterator[bytes]:
        target = self._target(path)
        if target is None:
            await context.abort(grpc.StatusCode.UNIMPLEMENTED, f"no route takes {path}")
        if not target:
            await context.abort(grpc.StatusCode.UNAVAILABLE, f"no endpoint is ready for {path}")
        if target not in self._channels:
            self._channels[target] = grpc.aio.insecure_channel(target, options=OPTIONS)
        metadata = [(key, value) for key, value in context.invocation_metadata() or () if key != "user-agent"]
        multi: Any = self._channels[target].stream_stream(path)
        call = multi(requests, timeout=context.time_remaining(), metadata=metadata)
        try:
            await context.send_initial_metadata(tuple(await call.initial_metadata() or ()))
            async for message in call:
                yield message
            context.set_trailing_metadata(tuple(await call.trailing_metadata() or ()))
        except grpc.aio.AioRpcError as error:
            await context.abort(error.code(), error.details() or "", tuple(error.trailing_metadata() or ()))
        finally:
            call.cancel()


async def listen(server: grpc.aio.Server, api: Api, options: argparse.Namespace) -> None:
    """Open the port, with TLS if a Secret is named."""
    if not options.tls:
        server.add_insecure_port(options.listen)
        return
    data = (await api.get("secrets", options.namespace, options.tls))["data"]
    pair = (base64.b64decode(data["tls.key"]), base64.b64decode(data["tls.crt"]))
    server.add_secure_port(options.listen, grpc.ssl_server_credentials([pair]))


async def main() -> None:
    """Serve until ended."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kubeconfig", type=Path, required=True)
    for name in ("--namespace", "--listen"):
        parser.add_argument(name, required=True)
    parser.add_argument("--tls", default="")
    options = parser.parse_args()
    async with Api(options.kubeconfig) as api:
        services = Services(api, options.namespace)
        gateway = Gateway(services, options.namespace)
        server = grpc.aio.server(options=OPTIONS)
        server.add_generic_rpc_handlers([gateway])
        await listen(server, api, options)
        await server.start()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(services.follow())
            tasks.create_task(gateway.follow(api))


if __name__ == "__main__":
    asyncio.run(main())
