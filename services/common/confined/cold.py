"""Processes that are started anew."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Mapping

from services.common.confined.running import MOST_ANSWER, Command


def child_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return what a child may see of this program's environment: how to find Python's modules, nothing else."""
    kept = {
        name: environ[name] for name in ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "TESSDATA_PREFIX") if name in environ
    }
    return {
        **kept,
        "LC_ALL": "C.UTF-8",
        "PYTHONDONTWRITEBYTECODE": "1",
        # One thread: the address space is limited, and each thread would take a part of it.
        "TOKENIZERS_PARALLELISM": "false",
        "OMP_NUM_THREADS": "1",
        "MALLOC_ARENA_MAX": "2",
    }


class Cold:
    """Starts a new interpreter for each command.

    Args:
        environment: what the processes see of the environment; nothing else of this program's reaches them.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = dict(environment)

    async def start(self, command: Command) -> ColdProcess:
        """Start a process; see running.Starter."""
        starting = asyncio.ensure_future(
            asyncio.create_subprocess_exec(
                sys.executable,
                "-P",  # the folder with a stranger's file is no place to import from
                "-m",
                command.program,
                str(command.note),
                str(os.getpid()),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                cwd=command.note.parent,
                env={**self._environment, **command.variables},
                start_new_session=True,
                limit=MOST_ANSWER,
            )
        )
        try:
            return ColdProcess(await asyncio.shield(starting))
        except asyncio.CancelledError:
            await ColdProcess(await starting).end()
            raise


class ColdProcess:
    """A process that asyncio started."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @property
    def stdout(self) -> asyncio.StreamReader:
        """What it answers."""
        assert self._process.stdout is not None  # noqa: S101  # it was asked for
        return self._process.stdout

    @property
    def stderr(self) -> asyncio.StreamReader:
        """What it says of its troubles."""
        assert self._process.stderr is not None  # noqa: S101  # it was asked for
        return self._process.stderr

    async def wait(self) -> int | None:
        """Return its exit code; see running.Process."""
        return await self._process.wait()

    async def end(self) -> None:
        """Kill it with all that it started; see running.Process."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        await asyncio.shield(asyncio.ensure_future(self._process.wait()))
