"""What a run takes of its machine, measured: memory while it trains and while it evaluates, and disk.

On a GPU memory is what torch's allocator has reserved there; the CUDA context, 0.3 to 0.5 GB, is not in it. On a CPU it
is the resident memory of the process, interpreter and libraries included: what they alone take is measured apart.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import resource
import sys
import time
from dataclasses import dataclass
from pathlib import Path

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")
_FORGET_PEAK = "5"


@dataclass(frozen=True)
class Stretch:
    """A part of a run that is measured by itself.

    Args:
        apart: whether the memory that was used before it is told apart from its own.
        began: when, by time.perf_counter.
    """

    apart: bool
    began: float

    def peak_memory_bytes(self) -> int:
        """Return the most memory since it began, 0 where that cannot be told."""
        return peak_memory_bytes() if self.apart else 0

    def seconds(self) -> float:
        """Return how long it has lasted."""
        return time.perf_counter() - self.began


def begin_stretch() -> Stretch:
    """Give back what is no longer used and measure from here."""
    return Stretch(_forget_peak(), time.perf_counter())


def peak_memory_bytes() -> int:
    """Return the most memory used since the beginning, or since a stretch began: of the GPU if there is one."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        return int(torch.cuda.max_memory_reserved())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return _status("VmHWM") or (peak if sys.platform == "darwin" else peak * 1024)


def _forget_peak() -> bool:
    """Give back what is no longer used, and let `peak_memory_bytes` count from here; return whether it does.

    Linux alone can forget the peak of a process (man 5 proc, clear_refs).
    """
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        return True
    give_back_freed()
    try:
        _CLEAR.write_text(_FORGET_PEAK, encoding="ascii")
    except OSError:
        return False
    return True


def give_back_freed() -> None:
    """Have the C library give memory that was freed back to the system; it keeps it for more of the same size."""
    with contextlib.suppress(AttributeError, OSError):  # another C library than glibc has nothing of the kind
        ctypes.CDLL(None).malloc_trim(0)


def libraries_memory_bytes() -> int:
    """Load the libraries that train and return the memory that the process then takes; 0 where a GPU counts.

    0 too where the system does not tell.
    """
    import torch

    import services.trainer.train  # noqa: F401  # loads them

    return 0 if torch.cuda.is_available() else resident_memory_bytes()


def resident_memory_bytes() -> int:
    """Return the main memory that the process takes now; 0 where the system does not tell."""
    return _status("VmRSS")


def bytes_below(folder: Path) -> int:
    """Return the size of all files in a folder and below; those that go meanwhile count as 0."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except OSError:
            continue
    return total


def _status(name: str) -> int:
    """Return a size of this process in bytes, 0 where the system does not tell."""
    try:
        lines = _STATUS.read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:")), 0)
