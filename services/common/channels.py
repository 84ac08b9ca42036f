"""Channels to the other services."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import grpc

from services.common.statuses import from_rpc_error

DEADLINE_SECONDS = 30.0
MAX_MESSAGE = 16 * 1024 * 1024

OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE),
    ("grpc.max_send_message_length", MAX_MESSAGE),
    # A peer that restarts is found again within a second.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.lb_policy_name", "round_robin"),
)


# grpc.aio's call details are a named tuple, which its types do not say.
Details = Any


def _with_token(details: Details, token: str) -> Details:
    metadata = grpc.aio.Metadata(*(details.metadata or ()))
    metadata.add("authorization", "Bearer " + token)
    return details._replace(metadata=metadata)


class _Unary(grpc.aio.UnaryUnaryClientInterceptor):
    def __init__(self, peer: str, token: str) -> None:
        self._peer = peer
        self._token = token

    async def intercept_unary_unary(self, continuation: Callable[..., Any], details: Details, request: Any) -> Any:
        """Add the token and a deadline; raise our own errors."""
        details = _with_token(details, self._token)
        if details.timeout is None:
            details = details._replace(timeout=DEADLINE_SECONDS)
        try:
            return await (await continuation(details, request))
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error, self._peer) from error


class _Stream(grpc.aio.UnaryStreamClientInterceptor):
    def __init__(self, peer: str, token: str) -> None:
        self._peer = peer
        self._token = token

    async def intercept_unary_stream(
        self, continuation: Callable[..., Any], details: Details, request: Any
    ) -> AsyncIterator[Any]:
        """Add the token; raise our own errors."""
        call = await continuation(_with_token(details, self._token), request)
        return self._pass_on(call)

    async def _pass_on(self, call: Any) -> AsyncIterator[Any]:
        try:
            async for message in call:
                yield message
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error, self._peer) from error


class Peers:
    """Channels to the other services, each with this service's token and a deadline of 30 s on unary calls.

    Failed calls raise the errors of services.common.errors.

    Args:
        addresses: service name → host:port; in one process all are the same.
        token: this service's own signed token.
    """

    def __init__(self, addresses: Mapping[str, str], token: str) -> None:
        self._addresses = addresses
        self._token = token
        self._channels: dict[str, grpc.aio.Channel] = {}

    def _channel(self, service: str) -> grpc.aio.Channel:
        if service not in self._channels:
            self._channels[service] = grpc.aio.insecure_channel(
                self._addresses[service],
                options=OPTIONS,
                interceptors=[_Unary(service, self._token), _Stream(service, self._token)],
            )
        return self._channels[service]

    @property
    def ingest(self) -> grpc.aio.Channel:
        """Channel to the ingest service."""
        return self._channel("ingest")

    @property
    def dataset(self) -> grpc.aio.Channel:
        """Channel to the dataset service."""
        return self._channel("dataset")

    @property
    def hardware(self) -> grpc.aio.Channel:
        """Channel to the hardware service."""
        return self._channel("hardware")

    @property
    def training(self) -> grpc.aio.Channel:
        """Channel to the training service."""
        return self._channel("training")

    async def close(self) -> None:
        """Close every channel."""
        for channel in self._channels.values():
            await channel.close()
