"""Iterating in the blocking front: what is broken off ends in the asynchronous client, too."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import AsyncIterator

import pytest

from finetuneflow_client.blocking import iterate


def test_ctrl_c_in_an_iteration_is_told_as_ctrl_c_once_the_iteration_has_ended() -> None:
    """Also where ending takes a while, as that of a call over the network does."""
    ended = []

    async def numbers() -> AsyncIterator[int]:
        try:
            yield 1
            threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.1)
            ended.append(True)

    found = iterate(numbers())
    next(found)
    with pytest.raises(KeyboardInterrupt):
        next(found)

    assert ended == [True]


def test_an_iteration_that_nobody_goes_on_with_ends() -> None:
    """The call behind it is not left open."""
    ended = []

    async def numbers() -> AsyncIterator[int]:
        try:
            yield 1
            yield 2
        finally:
            ended.append(True)

    for _ in iterate(numbers()):
        break

    assert ended == [True]
