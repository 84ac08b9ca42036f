"""What a process takes from itself before it reads anything."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
from dataclasses import dataclass

_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38
_OPEN_FILES = 64
_CPU_GRACE = 5


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


def die_with(parent: int) -> None:
    """End this process when its parent ends.

    Args:
        parent: process id of the parent; if it is gone already, this process ends at once.
    """
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def confine(limits: Limits, parent: int) -> None:
    """Limit memory, processor time, output and open files; die with the parent; write no core; gain no rights.

    Args:
        parent: process id of the parent; if it is gone already, this process ends at once.
    """
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    die_with(parent)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _lower(resource.RLIMIT_AS, limits.memory_bytes)
    _lower(resource.RLIMIT_FSIZE, limits.output_bytes)
    _lower(resource.RLIMIT_NOFILE, _OPEN_FILES)
    # The soft limit ends the process with SIGXCPU, which tells the parent why; the hard one cannot be caught.
    _lower(resource.RLIMIT_CPU, limits.cpu_seconds, limits.cpu_seconds + _CPU_GRACE)


def _lower(kind: int, soft: int, hard: int = 0) -> None:
    _, allowed = resource.getrlimit(kind)
    most = hard or soft
    if allowed != resource.RLIM_INFINITY:
        soft, most = min(soft, allowed), min(most, allowed)
    resource.setrlimit(kind, (soft, most))
