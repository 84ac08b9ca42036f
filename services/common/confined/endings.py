"""How a confined process ended."""

from __future__ import annotations

import logging
import signal
from collections.abc import Mapping
from typing import Any

from services.common.confined.limits import Limits
from services.common.errors import from_document

log = logging.getLogger(__name__)

_NO_MEMORY = (b"MemoryError", b"bad_alloc", b"memory allocation", b"Cannot allocate memory", b"Out of memory")


class Overrun(Exception):
    """The process ended by a limit; the text says which: "time than the 5 s allowed"."""


class Broken(Exception):
    """The process ended without an answer, and no limit explains it; the text says how."""


class Crashed(Broken):
    """It ended by a signal of its own doing, such as SIGSEGV, or said what no program of ours says."""


class Killed(Broken):
    """Somebody else killed it, such as the kernel for want of memory."""


def result(limits: Limits, answer: Mapping[str, Any], errors: bytes, code: int | None) -> dict[str, Any]:
    """Return a result, or raise what the answer or the exit code says.

    Args:
        answer: the last line that is no progress.
        errors: the end of what the process wrote about its troubles.
        code: its exit code, below 0 for a signal; None if nobody knows.

    Raises:
        FineTuneFlowError: what the program answered.
        Overrun: it needed more than a limit allows.
        Broken: it ended in another way.
    """
    if errors:
        log.info("confined: exit code %s, last words: %s", code, errors.decode("utf-8", "replace"))
    if code is None:
        raise Killed("its parent ended")
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
    if code in (-signal.SIGKILL, -signal.SIGTERM):
        raise Killed(signal.Signals(-code).name)
    if code < 0:
        raise Crashed(signal.Signals(-code).name)
    raise Broken(f"exit code {code}")
