"""What a server said when it ended a stream of requests before the client had sent them all.

grpc.aio replaces the status that the server gave with INTERNAL "Internal error from Core" if a message was on its way
when it came (https://github.com/grpc/grpc/issues/36066, open). The status passes by all the same, before or after.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import grpc

Value = TypeVar("Value")

_BROKEN = "Internal error from Core"
_SECONDS = 1.0


class Answer:
    """The server's own status of one call.

    Args:
        call: a call that has been begun and not been awaited yet.
    """

    def __init__(self, call: grpc.aio.StreamUnaryCall[Any, Any]) -> None:
        self._error: grpc.aio.AioRpcError | None = None
        self._came = asyncio.Event()
        call.add_done_callback(self._note)

    async def instead_of(self, error: grpc.aio.AioRpcError) -> grpc.aio.AioRpcError:
        """Return the server's error where `error` only says that a write failed, waiting a second for it at most."""
        if error.details() != _BROKEN:
            return error
        try:
            await asyncio.wait_for(self._came.wait(), _SECONDS)
        except TimeoutError:
            return error
        return self._error or error

    def _note(self, call: Any) -> None:
        """Keep the status that the call has at this moment, unless it is the one of a failed write."""
        if _now(call.code()) is grpc.StatusCode.OK or _now(call.details()) == _BROKEN:
            return
        self._error = grpc.aio.AioRpcError(
            _now(call.code()),
            _now(call.initial_metadata()),
            _now(call.trailing_metadata()),
            _now(call.details()),
            _now(call.debug_error_string()),
        )
        self._came.set()


def _now(value: Coroutine[Any, Any, Value]) -> Value:
    """Return what a coroutine gives that has nothing to wait for."""
    try:
        value.send(None)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]  # a StopIteration carries any value
    raise AssertionError("a call that is done has its status")
