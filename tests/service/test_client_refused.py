"""A server that ends an upload early is heard, whatever was on its way to it."""

from __future__ import annotations

import asyncio
import collections
from collections.abc import AsyncIterator
from typing import Any

import grpc

from finetuneflow_client.calls import Calls
from finetuneflow_client.errors import FtfError

_CALLS = 200


async def test_a_refusal_in_the_middle_of_an_upload_keeps_its_reason() -> None:
    """grpc.aio alone says "Internal error from Core" in a few of a hundred such calls."""

    async def refuse(requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext[Any, Any]) -> bytes:
        async for _ in requests:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "of no known type")
        return b""

    async def parts(pauses: int) -> AsyncIterator[bytes]:
        for _ in range(50):
            yield b"x" * 1000
            for _ in range(pauses):
                await asyncio.sleep(0)

    server = grpc.aio.server()
    methods: dict[str, grpc.RpcMethodHandler[Any, Any]] = {"Upload": grpc.stream_unary_rpc_method_handler(refuse)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Test", methods),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    said: collections.Counter[str] = collections.Counter()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        upload = Calls(channel, "", deadline=30, patience=0).stream_unary("/test.Test/Upload")
        for number in range(_CALLS):
            try:
                await upload(parts(number % 7))
            except FtfError as error:
                said[f"{error.code}: {error}"] += 1
    await server.stop(None)

    assert said == {"INVALID_ARGUMENT: of no known type": _CALLS}
