"""A program of ours in a process of its own, which limits itself before it opens what a stranger wrote.

The program is a module that is run with two arguments: a JSON file with its job, and its parent's process id. It calls
`confine` first, and answers with one line of JSON on standard output: {"result": {…}}, or {"error": {…}} as
errors.to_document writes it.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import logging
import os
import resource
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.common.errors import from_document

log = logging.getLogger(__name__)

_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38
_OPEN_FILES = 64
_CPU_GRACE = 5
_MOST_ANSWER = 1 << 20
_MOST_LOG = 8 << 10
_NO_MEMORY = (b"MemoryError", b"bad_alloc", b"memory allocation", b"Cannot allocate memory", b"Out of memory")


@dataclass(frozen=True)
class Limits:
    """What a process may use.

    Args:
        memory_bytes: address space.
        cpu_seconds: processor time.
        output_bytes: largest file that it may write.
        wall_seconds: after which its parent ends it.
    """

    memory_bytes: int = 1_536 << 20
    cpu_seconds: int = 600
    output_bytes: int = 1_024 << 20
    wall_seconds: float = 1_200.0


class Overrun(Exception):
    """The process ended by a limit; the text says which: "time than the 5 s allowed"."""


class Broken(Exception):
    """The process ended by a signal that no limit explains, or without an answer; the text says how."""


def confine(limits: Limits, parent: int) -> None:
    """Limit memory, processor time, output and open files; die with the parent; write no core; gain no rights.

    Args:
        parent: process id of the parent; if it is gone already, this process ends at once.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _lower(resource.RLIMIT_AS, limits.memory_bytes)
    _lower(resource.RLIMIT_FSIZE, limits.output_bytes)
    _lower(resource.RLIMIT_NOFILE, _OPEN_FILES)
    # The soft limit ends the process with SIGXCPU, which tells the parent why; the hard one cannot be caught.
    _lower(resource.RLIMIT_CPU, limits.cpu_seconds, limits.cpu_seconds + _CPU_GRACE)


async def run(
    module: str, job: Mapping[str, Any], folder: Path, limits: Limits, environ: Mapping[str, str]
) -> dict[str, Any]:
    """Run a program and return its result. Being cancelled kills it and waits for its end.

    Args:
        module: the program.
        job: what it is told.
        folder: an existing folder of its own, where it runs.
        environ: of which it sees how to find Python's modules, and nothing else.

    Raises:
        FineTuneFlowError: what the program answered.
        Overrun: it needed more than a limit allows.
        Broken: it ended in another way.
    """
    note = folder / "job.json"
    note.write_text(json.dumps(job), encoding="utf-8")
    process = await _start([module, str(note), str(os.getpid())], folder, environ)
    try:
        async with asyncio.timeout(limits.wall_seconds):
            output, errors = await asyncio.gather(_last(process.stdout, _MOST_ANSWER), _last(process.stderr, _MOST_LOG))
            code = await process.wait()
    except TimeoutError:
        raise Overrun(f"time than the {limits.wall_seconds:g} s allowed") from None
    finally:
        await _end(process)
    return _result(limits, output, errors, code)


async def _start(arguments: list[str], folder: Path, environ: Mapping[str, str]) -> asyncio.subprocess.Process:
    """Start the process; being cancelled meanwhile does not leave it behind."""
    kept = {name: environ[name] for name in ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH") if name in environ}
    starting = asyncio.ensure_future(
        asyncio.create_subprocess_exec(
            sys.executable,
            "-P",  # the folder with a stranger's file is no place to import from
            "-m",
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=folder,
            # One thread: the address space is limited, and each thread would take a part of it.
            env={**kept, "LC_ALL": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1", "MALLOC_ARENA_MAX": "2"},
            start_new_session=True,
        )
    )
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        await _end(await starting)
        raise


async def _last(stream: asyncio.StreamReader | None, most: int) -> bytes:
    """Return the end of what a stream says."""
    kept = b""
    while stream is not None and (block := await stream.read(1 << 16)):
        kept = (kept + block)[-most:]
    return kept


async def _end(process: asyncio.subprocess.Process) -> None:
    """Kill the process with all that it started, and wait for it, even if this task is cancelled meanwhile."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await asyncio.shield(asyncio.ensure_future(process.wait()))


def _result(limits: Limits, output: bytes, errors: bytes, code: int) -> dict[str, Any]:
    if errors:
        log.info("child: exit code %d, last words: %s", code, errors.decode("utf-8", "replace"))
    answer = _answer(output)
    if code == 0 and isinstance(answer.get("result"), dict):
        return dict(answer["result"])
    if code > 0 and isinstance(answer.get("error"), dict):
        raise from_document(answer["error"])
    if any(mark in errors for mark in _NO_MEMORY):
        raise Overrun(f"memory than the {limits.memory_bytes >> 20} MiB allowed")
    if code == -signal.SIGXCPU:
        raise Overrun(f"processor time than the {limits.cpu_seconds} s allowed")
    if code == -signal.SIGXFSZ:
        raise Overrun(f"output than the {limits.output_bytes >> 20} MiB allowed")
    if code < 0:
        raise Broken(signal.Signals(-code).name)
    raise Broken(f"exit code {code}")


def _answer(output: bytes) -> dict[str, Any]:
    with contextlib.suppress(ValueError):
        found = json.loads(output)
        return found if isinstance(found, dict) else {}
    return {}


def answered(kind: str, value: Mapping[str, Any]) -> None:
    """Write a program's answer."""
    sys.stdout.write(json.dumps({kind: value}, separators=(",", ":")) + "\n")
    sys.stdout.flush()


def _lower(kind: int, soft: int, hard: int = 0) -> None:
    _, allowed = resource.getrlimit(kind)
    most = hard or soft
    if allowed != resource.RLIM_INFINITY:
        soft, most = min(soft, allowed), min(most, allowed)
    resource.setrlimit(kind, (soft, most))
