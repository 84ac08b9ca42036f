"""What the processes that read one document take together, held to what one may take."""

from __future__ import annotations

import os
import resource
import signal
import time
from collections.abc import Iterable
from pathlib import Path

from services.ingest.sandbox.pdfhelper import Helper

_LOOK_SECONDS = 0.25
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_TIMES = slice(11, 13)
"""Where user and system time stand in /proc/PID/stat, counted from after the program's name; see proc(5)."""


class Budget:
    """The limits of this process, for all of them together; whatever ends one that is over a limit ends this one."""

    def __init__(self) -> None:
        self._seconds, _ = resource.getrlimit(resource.RLIMIT_CPU)
        self._bytes, _ = resource.getrlimit(resource.RLIMIT_AS)
        self._next = 0.0

    def hold(self, helpers: Iterable[Helper]) -> None:
        """Look at most four times a second; end by SIGXCPU if all of them took more processor time than is allowed.

        Raises:
            MemoryError: they have more memory than is allowed, what they share with others not counted.
        """
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + _LOOK_SECONDS
        seconds, taken = time.process_time(), _memory(os.getpid())
        for helper in helpers:
            seconds += helper.seconds + (_seconds(helper.pid) if helper.pid else 0.0)
            taken += _memory(helper.pid) if helper.pid else 0
        if self._seconds != resource.RLIM_INFINITY and seconds > self._seconds:
            os.kill(os.getpid(), signal.SIGXCPU)
        if self._bytes != resource.RLIM_INFINITY and taken > self._bytes:
            raise MemoryError


def _seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="latin-1").rpartition(")")[2].split()
    return sum(map(int, fields[_TIMES])) / _TICKS


def _memory(pid: int) -> int:
    _, resident, shared, *_ = map(int, Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split())
    return (resident - shared) * _PAGE
