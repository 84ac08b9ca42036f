"""What the work runs on: device and versions."""

from __future__ import annotations

import os
import platform
from importlib import metadata

from services.common.processor import processor_name

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


def versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that train."""
    return {"python": platform.python_version(), **{name: metadata.version(name) for name in LIBRARIES}}


def hardware(processes: int = 1) -> dict[str, str]:
    """Return what the work runs on, in words; of several processes, what this one does."""
    import torch

    facts = {"processor": processor_name(), "cores": str(os.cpu_count()), "threads": str(torch.get_num_threads())}
    facts["memory"] = f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.1f} GiB"
    if torch.cuda.is_available():
        gpu = torch.cuda.get_device_properties(0)
        facts["GPU"] = f"{gpu.name}, {gpu.total_memory / 2**30:.1f} GiB, CUDA {torch.version.cuda}"
    else:
        facts["GPU"] = "none"
    if processes > 1:
        facts["processes"] = f"{processes}, this one's hardware above"
    return facts


def take_gpu(local: int) -> None:
    """Let everything that this process puts on a GPU without naming one go to its own; nothing where there is none.

    Weights that are quantised as they are loaded would all go to the first.

    Args:
        local: the process's place on its node, 0, 1, …
    """
    import torch

    if torch.cuda.is_available():
        torch.cuda.set_device(local)


def device() -> tuple[str, str]:
    """Return where the work is done, "cpu" or "cuda", and its type: the processor's name or the GPU's product."""
    import torch

    if torch.cuda.is_available():
        return "cuda", str(torch.cuda.get_device_properties(0).name)
    return "cpu", processor_name()
