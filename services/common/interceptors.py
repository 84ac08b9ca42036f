"""The one place where errors become statuses and callers are checked."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
from grpc_status import rpc_status

from services.common import auth
from services.common.errors import FineTuneFlowError, Unavailable
from services.common.statuses import to_status
from services.common.telemetry import calls

_LEAVING = "This server is being stopped. Call again: it comes back, or another one answers."

log = logging.getLogger(__name__)

Context = grpc.aio.ServicerContext[Any, Any]


class Interceptor(grpc.aio.ServerInterceptor):
    """Checks the token, names the caller, turns errors into statuses and counts the call."""

    def __init__(self, authenticator: auth.Authenticator) -> None:
        self._authenticator = authenticator
        self._streams: set[asyncio.Task[Any]] = set()
        self._draining = asyncio.Event()

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Wrap the method's handler."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return handler
        method = handler_call_details.method
        make = {
            (False, False): grpc.unary_unary_rpc_method_handler,
            (False, True): grpc.unary_stream_rpc_method_handler,
            (True, False): grpc.stream_unary_rpc_method_handler,
            (True, True): grpc.stream_stream_rpc_method_handler,
        }[handler.request_streaming, handler.response_streaming]
        inner = handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream
        wrapped = self._stream(method, inner) if handler.response_streaming else self._unary(method, inner)
        return make(wrapped, handler.request_deserializer, handler.response_serializer)

    def drain(self) -> None:
        """End every stream with UNAVAILABLE, so that its client comes again, elsewhere; refuse new ones."""
        self._draining.set()
        for task in tuple(self._streams):
            task.cancel()

    async def _admit(self, method: str, context: Context) -> None:
        if auth.is_open(method):
            return
        metadata = {str(key): str(value) for key, value in context.invocation_metadata() or ()}
        principal = await self._authenticator.authenticate(metadata)
        self._authenticator.authorize(principal, method)
        auth.set_principal(principal)

    def _unary(self, method: str, inner: Callable[..., Any]) -> Callable[..., Any]:
        async def call(request: Any, context: Context) -> Any:
            started = time.monotonic()
            try:
                await self._admit(method, context)
                answer = await inner(request, context)
            except Exception as error:
                await _abort(context, method, error, started)
            calls(method, "OK", time.monotonic() - started)
            return answer

        return call

    def _stream(self, method: str, inner: Callable[..., Any]) -> Callable[..., Any]:
        async def call(request: Any, context: Context) -> AsyncIterator[Any]:
            started = time.monotonic()
            try:
                await self._admit(method, context)
                async for answer in self._until_drained(inner(request, context)):
                    yield answer
            except Exception as error:
                await _abort(context, method, error, started)
            calls(method, "OK", time.monotonic() - started)

        return call

    async def _until_drained(self, answers: AsyncIterator[Any]) -> AsyncIterator[Any]:
        task = asyncio.current_task()
        if self._draining.is_set() or task is None:
            raise Unavailable(_LEAVING)
        self._streams.add(task)
        try:
            async for answer in answers:
                yield answer
        except asyncio.CancelledError:
            if not self._draining.is_set():
                raise  # the client has gone
            task.uncancel()
            raise Unavailable(_LEAVING, retry_after=0.2) from None
        finally:
            self._streams.discard(task)


async def _abort(context: Context, method: str, error: Exception, started: float) -> None:
    if isinstance(error, grpc.aio.AbortError):
        raise error
    if not isinstance(error, FineTuneFlowError):
        incident = uuid.uuid4().hex[:12]
        log.error("%s broke [%s]", method, incident, exc_info=error)
        error = FineTuneFlowError(f"A mistake in FineTuneFlow, number {incident}. Report it; the log has the details.")
    status = to_status(error)
    calls(method, rpc_status.to_status(status).code.name, time.monotonic() - started)
    await context.abort_with_status(rpc_status.to_status(status))
