"""How the blocking front runs the asynchronous client: on one event loop in a thread of its own.

`sync` is made of `resources` by clients/python/generate.py; each of its objects has the asynchronous one as `of` and
leaves everything to it. It works where a loop runs already, as in a notebook, and from any thread.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Any, TypeVar

Value = TypeVar("Value")
_LOOK_SECONDS = 0.01

_lock = threading.Lock()
_loops: dict[int, asyncio.AbstractEventLoop] = {}


class Front:
    """An object that leaves everything to an asynchronous one.

    Args:
        of: that one.
    """

    of: Any

    def __init__(self, of: Any) -> None:
        self.of = of

    def __repr__(self) -> str:
        return repr(self.of)


def run(awaitable: Awaitable[Value]) -> Value:
    """Wait for something; Ctrl-C breaks it off there too.

    Not while the interpreter ends: the loop's thread is gone then, and the connection with it.
    """
    waiting = asyncio.run_coroutine_threadsafe(_awaited(awaitable), _loop())
    try:
        return waiting.result()
    except BaseException:
        waiting.cancel()
        raise


def iterate(found: AsyncIterator[Value]) -> Iterator[Value]:
    """Yield what an asynchronous iterator yields, and end it when nobody wants more."""
    try:
        while True:
            try:
                value = run(anext(found))
            except StopAsyncIteration:
                return
            yield value
    finally:
        if not sys.is_finalizing():
            run(_ended(found))


@contextmanager
def entered(context: AbstractAsyncContextManager[Value]) -> Iterator[Value]:
    """Enter an asynchronous context, and leave it at the end of the block."""
    value = run(context.__aenter__())
    try:
        yield value
    finally:
        if not sys.is_finalizing():
            run(context.__aexit__(None, None, None))


async def _ended(found: Any) -> None:
    """End an asynchronous iterator, if it can be; a step of it that was broken off ends first."""
    while getattr(found, "ag_running", False):  # noqa: ASYNC110 - the generator tells nobody when its step has ended
        await asyncio.sleep(_LOOK_SECONDS)
    if hasattr(found, "aclose"):
        await found.aclose()


async def _awaited(awaitable: Awaitable[Value]) -> Value:
    return await awaitable


def _loop() -> asyncio.AbstractEventLoop:
    """Return this process's loop; begun at first, and again after a fork, which leaves threads behind."""
    with _lock:
        loop = _loops.get(os.getpid())
        if loop is None:
            loop = _loops[os.getpid()] = asyncio.new_event_loop()
            threading.Thread(target=loop.run_forever, name="finetuneflow", daemon=True).start()
        return loop
