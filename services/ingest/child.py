"""Runs the sandbox as a child process and says how it ended."""

from __future__ import annotations

import asyncio
import importlib.metadata
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from services.common.confined.endings import Broken, Crashed, Killed, Overrun
from services.common.confined.running import Command, run
from services.common.confined.warm import Warm
from services.common.errors import Exhausted, FineTuneFlowError
from services.ingest.core.extraction import corrupt
from services.ingest.core.filenames import PDF, XLSX
from services.ingest.sandbox.job import OPENED, Job

log = logging.getLogger(__name__)

Progress = Callable[[str, int, int, str], Awaitable[None]]

READERS = {PDF: ("pdf_oxide", "pypdfium2", "pypdf"), XLSX: ("python-calamine", "openpyxl")}
"""Formats with several readers: where the process breaks, the document is tried without the first, and so on."""

_SAYS_SO = "pdf_oxide"
"""The reader that broke nothing unless it said that it opens the document."""
_PROGRAM = "services.ingest.sandbox"
_MOST_KILLED = 2
_LOADED = (
    f"{_PROGRAM}.__main__",
    *(f"{_PROGRAM}.{name}" for name in ("extract", "cut", "unpack", "data", "epub", "html", "opendocument", "pdf")),
    *(f"{_PROGRAM}.{name}" for name in ("plaintext", "richtext", "sheets", "slides", "word")),
    f"{_PROGRAM}.pdfrehearsal:rehearse",
    "tokenizers",
)
"""What the nursery of readers loads, and does once, so that no child has to."""

_COUNTING = (f"{_PROGRAM}.__main__", f"{_PROGRAM}.cut", f"{_PROGRAM}.cl100k:rehearse")
"""What the nursery of those loads that cut by cl100k_base. It is one of its own, for a fork takes as long as its parent
is large."""


class Sandbox:
    """Runs jobs, each in a process of its own.

    Args:
        environment: what the processes see of the environment; nothing else of this program's reaches them.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._readers = Warm(environment, _LOADED)
        self._counters: Warm | None = None

    async def close(self) -> None:
        """End all processes."""
        await asyncio.to_thread(self._readers.close)
        if self._counters:
            await asyncio.to_thread(self._counters.close)

    def _starter(self, job: Job, variables: Mapping[str, str]) -> Warm:
        if job.task != "cut" or job.tokenizer or "TIKTOKEN_CACHE_DIR" not in variables:
            return self._readers
        if self._counters is None:
            self._counters = Warm({**self._environment, **variables}, _COUNTING)
        return self._counters

    async def run(self, job: Job, progress: Progress, variables: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Do a job and return its result. Being cancelled kills the process and waits for its end.

        A process that somebody else killed is started once more; a document at which a reader broke goes to the next,
        if its format has one. Neither uses up the other.

        Args:
            progress: awaited for each progress that the process tells.
            variables: further environment for this job.

        Raises:
            FineTuneFlowError: what the process answered, or EXTRACTION_LIMIT or CORRUPT_DOCUMENT by how it ended.
        """
        killed = 0
        while True:
            opened: set[str] = set()
            try:
                return await self._attempt(job, progress, variables or {}, opened)
            except Overrun as error:
                raise _too_much(str(error)) from error
            except Killed as error:
                killed += 1
                log.warning("sandbox: the process was killed from outside (attempt %d of %d)", killed, _MOST_KILLED)
                if killed == _MOST_KILLED:
                    raise Exhausted(
                        "The program that reads the document was killed twice; the machine may be out of memory. "
                        "Try again.",
                        reason="EXTRACTION_LIMIT",
                    ) from error
            except Crashed as error:
                job = _with_next_reader(job, opened, error)
            except Broken as error:
                raise FineTuneFlowError(
                    "The program that reads documents did not start. Report it; the service's log has the details."
                ) from error

    async def _attempt(
        self, job: Job, progress: Progress, variables: Mapping[str, str], opened: set[str]
    ) -> dict[str, Any]:
        note = Path(job.target + ".job")
        job.write(note)

        async def hear(said: list[Any]) -> None:
            try:
                phase, done, total, unit = said
                told = str(phase), int(done), int(total), str(unit)
            except (ValueError, TypeError):
                return
            if told[0] == OPENED:
                opened.add(told[3])
            else:
                await progress(*told)

        return await run(self._starter(job, variables), Command(_PROGRAM, note, variables), job.limits, hear)


def _with_next_reader(job: Job, opened: set[str], error: Crashed) -> Job:
    """Return the job for the reader after the one that broke.

    Args:
        opened: readers that said that they open the document.

    Raises:
        InvalidArgument: CORRUPT_DOCUMENT, for there is none.
    """
    readers = READERS.get(job.mime_type, ()) if job.task == "extract" else ()
    left = readers[readers.index(job.reader) if job.reader else 0 :]
    broken, *others = [one for one in left if one != _SAYS_SO or one in opened] or [""]
    if not others:
        raise corrupt(f"broke the program that reads it ({error})") from error
    log.warning("sandbox: %s broke (%s), trying %s", broken, error, others[0])
    name = f"{broken} {importlib.metadata.version(broken)}"
    return replace(job, reader=others[0], left=name, left_because=str(error))


def _too_much(what: str) -> Exhausted:
    return Exhausted(
        f"Reading the document took more {what}. Split or simplify the document.", reason="EXTRACTION_LIMIT"
    )
