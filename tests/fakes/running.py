"""Real services for tests: a real gRPC server on port 0, SQLite, a folder of objects, a real nats-server."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from services.common.config import Config
from services.common.jobs.port import JobRunner
from services.common.jobs.process import ProcessJobs
from services.common.natsserver import NatsServer
from services.common.runtime import Compose
from services.common.server import Program, running

TOKEN = "test-token-of-a-user"  # one user for every test


@dataclass(frozen=True)
class Served:
    """A running server."""

    program: Program
    config: Config

    @property
    def address(self) -> str:
        """host:port"""
        return self.program.address

    @contextlib.asynccontextmanager
    async def channel(self, token: str = TOKEN) -> AsyncIterator[grpc.aio.Channel]:
        """A channel that sends a bearer token with every call; none with token=""."""
        async with channel_to(self.address, token) as channel:
            yield channel


@contextlib.asynccontextmanager
async def channel_to(address: str, token: str = TOKEN) -> AsyncIterator[grpc.aio.Channel]:
    """A channel to an address that sends a bearer token with every call; none with token=""."""
    call_credentials = [_Bearer(token), _BearerStream(token), _BearerUpload(token), _BearerBoth(token)]
    async with grpc.aio.insecure_channel(address, interceptors=call_credentials if token else None) as channel:
        yield channel


@contextlib.asynccontextmanager
async def serving(
    state: Path,
    composes: Mapping[str, Compose],
    *,
    jobs: JobRunner | None = None,
    nats: NatsServer | None = None,
    listen: str = "127.0.0.1:0",
    **overrides: object,
) -> AsyncIterator[Served]:
    """Serve the given services on a state folder until the block ends; again on the same folder goes on from there.

    Args:
        composes: service name → compose function.
        jobs: runs Jobs; a real process runner if None.
        nats: a running nats-server; one is started if None.
        overrides: further fields of Config.
    """
    async with contextlib.AsyncExitStack() as stack:
        if nats is None:
            nats = NatsServer(state / "nats")
            await nats.start()
            stack.push_async_callback(nats.stop)
        fields: dict[str, object] = {
            "state": state,
            "documents": f"sqlite://{state}/documents/{{service}}.db",
            "objects": f"file://{state}/objects",
            "nats": nats.url,
            "listen": listen,
            "sweep_seconds": 0.2,
            **overrides,
        }
        config = Config(**fields)  # type: ignore[arg-type]  # checked by the dataclass's users
        runner = jobs or ProcessJobs(state / "jobs")
        yield Served(await stack.enter_async_context(running(config, {"tester": TOKEN}, composes, runner)), config)


def _with_token(details: grpc.aio.ClientCallDetails, token: str) -> grpc.aio.ClientCallDetails:
    metadata = grpc.aio.Metadata(*(details.metadata or ()))
    metadata.add("authorization", "Bearer " + token)
    return details._replace(metadata=metadata)  # type: ignore[attr-defined]  # a named tuple in truth


class _Token:
    def __init__(self, token: str) -> None:
        self.token = token


class _Bearer(_Token, grpc.aio.UnaryUnaryClientInterceptor):
    async def intercept_unary_unary(self, continuation, details, request):  # type: ignore[no-untyped-def]
        return await continuation(_with_token(details, self.token), request)


class _BearerStream(_Token, grpc.aio.UnaryStreamClientInterceptor):
    async def intercept_unary_stream(self, continuation, details, request):  # type: ignore[no-untyped-def]
        return await continuation(_with_token(details, self.token), request)


class _BearerUpload(_Token, grpc.aio.StreamUnaryClientInterceptor):
    async def intercept_stream_unary(self, continuation, details, requests):  # type: ignore[no-untyped-def]
        return await continuation(_with_token(details, self.token), requests)


class _BearerBoth(_Token, grpc.aio.StreamStreamClientInterceptor):
    async def intercept_stream_stream(self, continuation, details, requests):  # type: ignore[no-untyped-def]
        return await continuation(_with_token(details, self.token), requests)


async def refusal(call: Any) -> tuple[grpc.StatusCode, str]:
    """Return the code and the ErrorInfo reason of a call, or of a stream's first message, that must fail."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await (call if hasattr(call, "__await__") else anext(aiter(call)))
    status = rpc_status.from_call(caught.value)  # type: ignore[arg-type]  # typed for the sync call, works for both
    info = error_details_pb2.ErrorInfo()
    if status is not None and status.details:
        status.details[0].Unpack(info)
    return caught.value.code(), info.reason
