"""The blocking front: it has what it says, and what is broken off in it ends in the asynchronous client, too."""

from __future__ import annotations

import asyncio
import inspect
import os
import re
import signal
import threading
from collections.abc import AsyncIterator

import pytest

from finetuneflow_client import sync
from finetuneflow_client.blocking import Front, iterate


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


def test_a_blocking_object_has_every_attribute_that_its_docstring_names() -> None:
    """What only the asynchronous one has is left out of it, as are the arguments of a constructor that nobody calls."""
    fronts = [found for found in vars(sync).values() if inspect.isclass(found) and issubclass(found, Front)]
    docs = {front: inspect.cleandoc(front.__doc__ or "") for front in fronts}
    named = {
        front: re.findall(r"^    (\w+):", doc.partition("\nAttributes:\n")[2], re.MULTILINE)
        for front, doc in docs.items()
    }

    assert named[sync.FineTuneFlow] == ["projects", "models", "llms", "templates"]
    assert [(front, name) for front, names in named.items() for name in names if not hasattr(front, name)] == []
    assert [front for front, doc in docs.items() if "\nArgs:" in doc] == []
