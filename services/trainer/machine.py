"""What the work runs on: device, memory, versions."""

from __future__ import annotations

import os
import platform
import resource
import sys
from importlib import metadata

LIBRARIES = (
    "torch",
    "transformers",
    "trl",
    "peft",
    "accelerate",
    "bitsandbytes",
    "datasets",
    "tokenizers",
    "safetensors",
)


def peak_memory_bytes() -> int:
    """Return the most memory used so far: of the GPU if there is one, else of the process."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        return int(torch.cuda.max_memory_reserved())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that train."""
    return {"python": platform.python_version(), **{name: metadata.version(name) for name in LIBRARIES}}


def hardware(processes: int = 1) -> dict[str, str]:
    """Return what the work runs on, in words; of several processes, what this one does."""
    import torch

    facts = {"processor": _processor(), "cores": str(os.cpu_count()), "threads": str(torch.get_num_threads())}
    facts["memory"] = f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.1f} GiB"
    if torch.cuda.is_available():
        gpu = torch.cuda.get_device_properties(0)
        facts["GPU"] = f"{gpu.name}, {gpu.total_memory / 2**30:.1f} GiB, CUDA {torch.version.cuda}"
    else:
        facts["GPU"] = "none"
    if processes > 1:
        facts["processes"] = f"{processes}, this one's hardware above"
    return facts


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
            return next(names, platform.machine())
    except OSError:
        return platform.machine()
