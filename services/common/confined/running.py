"""Runs a confined program to its end."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from services.common.confined.endings import Crashed, Overrun, result
from services.common.confined.limits import Limits

Hear = Callable[[list[Any]], Awaitable[None]]
"""Is awaited with each progress that a program tells."""

MOST_ANSWER = 1 << 20
"""Bytes of the longest line that a program may say."""

_MOST_LOG = 8 << 10


@dataclass(frozen=True)
class Command:
    """What is to be run.

    Args:
        program: a package whose `__main__` has `main`.
        note: a file with its job.
        variables: further environment.
    """

    program: str
    note: Path
    variables: Mapping[str, str] = field(default_factory=dict)


class Process(Protocol):
    """A process that was started."""

    @property
    def stdout(self) -> asyncio.StreamReader:
        """What it answers."""
        ...

    @property
    def stderr(self) -> asyncio.StreamReader:
        """What it says of its troubles."""
        ...

    async def wait(self) -> int | None:
        """Return its exit code when it has ended, below 0 for a signal; None if nobody knows it."""
        ...

    async def end(self) -> None:
        """Kill it with all that it started, and wait for it, even if this task is cancelled meanwhile."""
        ...


class Starter(Protocol):
    """Starts processes."""

    async def start(self, command: Command) -> Process:
        """Start a process, in the folder of its note; being cancelled meanwhile does not leave it behind."""
        ...


async def silence(said: list[Any]) -> None:
    """Hear nothing."""


async def run(starter: Starter, command: Command, limits: Limits, hear: Hear = silence) -> dict[str, Any]:
    """Run a program and return its result. Being cancelled kills it and waits for its end.

    Raises:
        FineTuneFlowError: what the program answered.
        Overrun: it needed more than a limit allows.
        Broken: it ended in another way.
    """
    process = await starter.start(command)
    timed_out = False
    answer: dict[str, Any] = {}
    errors = b""
    code: int | None = None
    try:
        async with asyncio.timeout(limits.wall_seconds):
            answer, errors = await asyncio.gather(_answers(process.stdout, hear), _tail(process.stderr))
            code = await process.wait()
    except TimeoutError:
        timed_out = True
    finally:
        await process.end()
    if timed_out:
        raise Overrun(f"time than the {limits.wall_seconds:g} s allowed")
    return result(limits, answer, errors, code)


async def _answers(stream: asyncio.StreamReader, hear: Hear) -> dict[str, Any]:
    """Read a process's lines to their end; return the last that is no progress."""
    last: dict[str, Any] = {}
    while True:
        try:
            line = await stream.readline()
        except ValueError:  # longer than an answer may be: whatever runs there is not ours any more
            raise Crashed("answer too long") from None
        if not line:
            return last
        said: Any = None
        with contextlib.suppress(ValueError):
            said = json.loads(line)
        if isinstance(said, dict) and isinstance(said.get("progress"), list):
            await hear(said["progress"])
        elif isinstance(said, dict):
            last = said


async def _tail(stream: asyncio.StreamReader) -> bytes:
    """Return the end of what the process wrote about its troubles."""
    kept = b""
    while block := await stream.read(_MOST_LOG):
        kept = (kept + block)[-_MOST_LOG:]
    return kept
