"""Channels to the other services."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import grpc

from services.common.statuses import from_rpc_error

DEADLINE_SECONDS = 30.0
MAX_MESSAGE = 16 * 1024 * 1024

OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE),
    ("grpc.max_send_message_length", MAX_MESSAGE),
    # A peer that restarts is found again within a second, also where it comes back under another address.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.dns_min_time_between_resolutions_ms", 1000),
    # Calls go to the replicas in turn; a name of several addresses is a headless Service.
    ("grpc.service_config", json.dumps({"loadBalancingConfig": [{"round_robin": {}}]})),
    ("grpc.service_config_disable_resolution", 1),
    # A peer whose machine is gone says nothing: without these a call would wait for TCP to give up.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.max_pings_without_data", 0),
    # A proxy for the world is not one between services.
    ("grpc.enable_http_proxy", 0),
)

READS = ("Get", "List", "Estimate", "Recommend")
"""How the methods begin that change nothing, and so may be called again when a replica has just gone."""
_TRIES = 3
_PAUSE_SECONDS = 0.1

# grpc.aio's call details are a named tuple, which its types do not say.
Details = Any


def _with_token(details: Details, token: str) -> Details:
    metadata = grpc.aio.Metadata(*(details.metadata or ()))
    metadata.add("authorization", "Bearer " + token)
    return details._replace(metadata=metadata)


class _Unary(grpc.aio.UnaryUnaryClientInterceptor):
    def __init__(self, peer: str, token: Callable[[], str]) -> None:
        self._peer = peer
        self._token = token

    async def intercept_unary_unary(self, continuation: Callable[..., Any], details: Details, request: Any) -> Any:
        """Add the token and a deadline; repeat a read that met nobody; raise our own errors."""
        if details.timeout is None:
            details = details._replace(timeout=DEADLINE_SECONDS)
        left = _TRIES if _name(details.method).startswith(READS) else 1
        while True:
            left -= 1
            try:
                return await (await continuation(_with_token(details, self._token()), request))
            except grpc.aio.AioRpcError as error:
                if left == 0 or error.code() != grpc.StatusCode.UNAVAILABLE:
                    raise from_rpc_error(error, self._peer) from error
            await asyncio.sleep(_PAUSE_SECONDS * (_TRIES - left))


def _name(method: str | bytes) -> str:
    text = method.decode() if isinstance(method, bytes) else method
    return text.rpartition("/")[2]


class _Stream(grpc.aio.UnaryStreamClientInterceptor):
    def __init__(self, peer: str, token: Callable[[], str]) -> None:
        self._peer = peer
        self._token = token

    async def intercept_unary_stream(
        self, continuation: Callable[..., Any], details: Details, request: Any
    ) -> AsyncIterator[Any]:
        """Add the token; raise our own errors."""
        call = await continuation(_with_token(details, self._token()), request)
        return self._pass_on(call)

    async def _pass_on(self, call: Any) -> AsyncIterator[Any]:
        try:
            async for message in call:
                yield message
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error, self._peer) from error


class Peers:
    """Channels to the other services, each with this service's token and a deadline of 30 s on unary calls.

    Failed calls raise the errors of services.common.errors. A call that only reads is repeated, three times in all,
    when its peer cannot be reached. A peer of several addresses is called at each in turn.

    Args:
        addresses: service name → gRPC target; in one process all are the same.
        token: gives this service's own token, anew for every call.
    """

    def __init__(self, addresses: Mapping[str, str], token: Callable[[], str]) -> None:
        self._addresses = addresses
        self._token = token
        self._channels: dict[str, grpc.aio.Channel] = {}

    def channel(self, service: str) -> grpc.aio.Channel:
        """Return the channel to a service; the same one each time."""
        if service not in self._channels:
            self._channels[service] = self.open(self._addresses[service], service)
        return self._channels[service]

    def open(self, address: str, service: str) -> grpc.aio.Channel:
        """Return a new channel to one replica of a service; its caller closes it."""
        return grpc.aio.insecure_channel(
            address, options=OPTIONS, interceptors=[_Unary(service, self._token), _Stream(service, self._token)]
        )

    @property
    def ingest(self) -> grpc.aio.Channel:
        """Channel to the ingest service."""
        return self.channel("ingest")

    @property
    def dataset(self) -> grpc.aio.Channel:
        """Channel to the dataset service."""
        return self.channel("dataset")

    @property
    def hardware(self) -> grpc.aio.Channel:
        """Channel to the hardware service."""
        return self.channel("hardware")

    @property
    def training(self) -> grpc.aio.Channel:
        """Channel to the training service."""
        return self.channel("training")

    async def close(self) -> None:
        """Close every channel."""
        for channel in self._channels.values():
            await channel.close()
