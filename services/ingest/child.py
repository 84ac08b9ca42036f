"""Runs the sandbox as a child process and says how it ended."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import json
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from services.common.errors import Exhausted, FineTuneFlowError, from_document
from services.ingest.core.extraction import corrupt
from services.ingest.core.filenames import PDF, XLSX
from services.ingest.sandbox.job import Job

log = logging.getLogger(__name__)

Progress = Callable[[str, int, int, str], Awaitable[None]]

READERS = {PDF: ("pypdfium2", "pypdf"), XLSX: ("python-calamine", "openpyxl")}
"""Formats with two readers: the second is tried where the first breaks the process."""

_MOST_ANSWER = 64 * 1024
_MOST_LOG = 8 * 1024
_NO_MEMORY = (b"MemoryError", b"bad_alloc", b"memory allocation", b"Cannot allocate memory", b"Out of memory")


class Killed(Exception):
    """Somebody else killed the process, such as the kernel for want of memory."""


class Sandbox:
    """Runs jobs, each in a process of its own.

    Args:
        environment: what the processes see of the environment; nothing else of this program's reaches them.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = dict(environment)

    async def run(self, job: Job, progress: Progress, variables: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Do a job and return its result. Being cancelled kills the process and waits for its end.

        A process that somebody else killed is started once more; a document at which its first reader broke goes to the
        second, if its format has one.

        Args:
            progress: awaited for each progress that the process tells.
            variables: further environment for this job.

        Raises:
            FineTuneFlowError: what the process answered, or EXTRACTION_LIMIT or CORRUPT_DOCUMENT by how it ended.
        """
        for attempt in (1, 2):
            try:
                return await self._attempt(job, progress, variables or {})
            except Killed:
                log.warning("sandbox: the process was killed from outside (attempt %d of 2)", attempt)
            except _Crashed as error:
                first, second = READERS.get(job.mime_type, ("", ""))
                if second and job.task == "extract" and not job.reader:
                    log.warning("sandbox: %s broke (%s), trying %s", first, error, second)
                    left = f"{first} {importlib.metadata.version(first)}"
                    job = replace(job, reader=second, left=left, left_because=str(error))
                    continue
                raise corrupt(f"broke the program that reads it ({error})") from error
        raise Exhausted(
            "The program that reads the document was killed twice; the machine may be out of memory. Try again.",
            reason="EXTRACTION_LIMIT",
        )

    async def _attempt(self, job: Job, progress: Progress, variables: Mapping[str, str]) -> dict[str, Any]:
        note = Path(job.target + ".job")
        job.write(note)
        process = await self._start(note, variables)
        timed_out = False
        try:
            async with asyncio.timeout(job.limits.wall_seconds):
                answer, errors = await asyncio.gather(_answers(process, progress), _tail(process))
                code = await process.wait()
        except TimeoutError:
            timed_out = True
        finally:
            await _end(process)
        if timed_out:
            raise _too_long(job)
        return _result(job, answer, errors, code)

    async def _start(self, note: Path, variables: Mapping[str, str]) -> asyncio.subprocess.Process:
        """Start the process; being cancelled meanwhile does not leave it behind."""
        starting = asyncio.ensure_future(
            asyncio.create_subprocess_exec(
                sys.executable,
                "-P",  # the folder with a stranger's file is no place to import from
                "-m",
                "services.ingest.sandbox",
                str(note),
                str(os.getpid()),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                cwd=note.parent,
                env={**self._environment, **variables},
                start_new_session=True,
                limit=_MOST_ANSWER,
            )
        )
        try:
            return await asyncio.shield(starting)
        except asyncio.CancelledError:
            await _end(await starting)
            raise


class _Crashed(Exception):
    """The process ended by a signal of its own doing."""


async def _answers(process: asyncio.subprocess.Process, progress: Progress) -> dict[str, Any]:
    """Read the process's lines to their end; return the last that is no progress."""
    assert process.stdout is not None  # noqa: S101  # it was asked for
    last: dict[str, Any] = {}
    while True:
        try:
            line = await process.stdout.readline()
        except ValueError:  # longer than an answer may be: whatever runs there is not ours any more
            raise corrupt("broke the program that reads it (answer too long)") from None
        if not line:
            return last
        with contextlib.suppress(ValueError, TypeError, KeyError):
            said = json.loads(line)
            if "progress" in said:
                phase, done, total, unit = said["progress"]
                await progress(str(phase), int(done), int(total), str(unit))
            elif isinstance(said, dict):
                last = said


async def _tail(process: asyncio.subprocess.Process) -> bytes:
    """Return the end of what the process wrote about its troubles."""
    assert process.stderr is not None  # noqa: S101  # it was asked for
    kept = b""
    while block := await process.stderr.read(_MOST_LOG):
        kept = (kept + block)[-_MOST_LOG:]
    return kept


async def _end(process: asyncio.subprocess.Process) -> None:
    """Kill the process with all that it started, and wait for it, even if this task is cancelled meanwhile."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await asyncio.shield(asyncio.ensure_future(process.wait()))


def _result(job: Job, answer: dict[str, Any], errors: bytes, code: int) -> dict[str, Any]:
    """Return a result, or raise what the answer or the exit code says."""
    if errors:
        log.info("sandbox: exit code %d, last words: %s", code, errors.decode("utf-8", "replace"))
    if code == 0 and isinstance(answer.get("result"), dict):
        return dict(answer["result"])
    if code > 0 and isinstance(answer.get("error"), dict):
        raise from_document(answer["error"])
    if any(mark in errors for mark in _NO_MEMORY):
        raise _too_much(f"memory than the {job.limits.memory_bytes >> 20} MiB allowed")
    if code == -signal.SIGXCPU:
        raise _too_much(f"processor time than the {job.limits.cpu_seconds} s allowed")
    if code == -signal.SIGXFSZ:
        raise _too_much(f"output than the {job.limits.output_bytes >> 20} MiB allowed")
    if code in (-signal.SIGKILL, -signal.SIGTERM):
        raise Killed
    if code < 0:
        raise _Crashed(signal.Signals(-code).name)
    raise FineTuneFlowError(
        "The program that reads documents did not start. Report it; the service's log has the details."
    )


def _too_long(job: Job) -> Exhausted:
    return _too_much(f"time than the {job.limits.wall_seconds:g} s allowed")


def _too_much(what: str) -> Exhausted:
    return Exhausted(
        f"Reading the document took more {what}. Split or simplify the document.", reason="EXTRACTION_LIMIT"
    )


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
