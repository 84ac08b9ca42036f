"""How a call is made: with the token, with a deadline, repeated where that is harmless, and failing with FtfError.

Generated stubs ask a channel for one callable per method; Calls is the channel that they are given.
"""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import grpc

from finetuneflow_client.answer import Answer
from finetuneflow_client.errors import FtfError, translated

# Methods that may be sent twice. Every Create carries a request_id, so that the second returns the first's answer.
_REPEATABLE = ("Get", "List", "Create", "Estimate", "Recommend")


class Calls:
    """A channel as generated stubs see it.

    Args:
        channel: the connection.
        token: bearer token; empty sends none.
        deadline: seconds that a call may take, for those that give no timeout of their own and are no stream.
        patience: seconds for which a repeatable call is repeated while the server is away.
    """

    def __init__(self, channel: grpc.aio.Channel, token: str, deadline: float, patience: float) -> None:
        self._channel = channel
        self._metadata = (("authorization", f"Bearer {token}"),) if token else ()
        self._deadline = deadline
        self._patience = patience

    def unary_unary(self, method: str, **kinds: Any) -> Callable[..., Awaitable[Any]]:
        """Return a callable that sends one message and awaits one."""
        rpc = self._channel.unary_unary(method, **kinds)
        repeatable = method.rsplit("/", 1)[-1].startswith(_REPEATABLE)

        async def call(request: Any, *, timeout: float | None = None) -> Any:
            identify(request)
            pauses = _pauses(self._patience if repeatable else 0)
            while True:
                try:
                    with translated():
                        return await rpc(request, timeout=timeout or self._deadline, metadata=self._metadata)
                except FtfError as error:
                    pause = next(pauses, None)
                    if pause is None or error.code != "UNAVAILABLE" or not error.away:
                        raise
                await asyncio.sleep(pause)

        return call

    def stream_unary(self, method: str, **kinds: Any) -> Callable[..., Awaitable[Any]]:
        """Return a callable that sends a stream and awaits one message."""
        rpc = self._channel.stream_unary(method, **kinds)

        async def call(requests: AsyncIterator[Any], *, timeout: float | None = None) -> Any:
            running = rpc(requests, timeout=timeout or self._deadline, metadata=self._metadata)
            answer = Answer(running)
            with translated():
                try:
                    return await running
                except grpc.aio.AioRpcError as error:
                    raise await answer.instead_of(error) from None

        return call

    def unary_stream(self, method: str, **kinds: Any) -> Callable[..., AsyncIterator[Any]]:
        """Return a callable that sends one message and yields what comes; without a deadline unless one is given."""
        rpc = self._channel.unary_stream(method, **kinds)

        async def call(request: Any, *, timeout: float | None = None) -> AsyncIterator[Any]:
            running = rpc(request, timeout=timeout, metadata=self._metadata)
            try:
                with translated():
                    async for response in running:
                        yield response
            finally:
                running.cancel()

        return call

    def stream_stream(self, method: str, **kinds: Any) -> Callable[..., Any]:
        """Return the bare callable; no method that a client calls is of this kind."""
        return self._channel.stream_stream(method, **kinds)


def identify(request: Any) -> None:
    """Give a request that can carry a request_id one, unless it has it; sending it twice then does the work once."""
    if "request_id" in request.DESCRIPTOR.fields_by_name and not request.request_id:
        request.request_id = str(uuid.uuid4())


def _pauses(patience: float) -> Iterator[float]:
    """Yield the seconds to wait after each failed try, `patience` seconds in all."""
    pause, spent = 0.2, 0.0
    while spent + pause <= patience:
        yield pause * random.uniform(0.8, 1.2)  # noqa: S311  # jitter, not a secret
        spent += pause
        pause = min(pause * 2, 2.0)
