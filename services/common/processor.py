"""What the processor of this machine is called."""

from __future__ import annotations

import platform


def processor_name() -> str:
    """Return its name as the kernel has it: "AMD EPYC 7B13"; its kind where that is not told."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
            return next(names, platform.machine())
    except OSError:
        return platform.machine()
