"""What this machine has to train on: read anew at every question, for free memory changes."""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path

import psutil
import pynvml

from services.common.controlgroup import ControlGroup, whole_cores
from services.common.processor import processor_name
from services.hardware.core_inventory import Machine
from services.hardware.hubcache import existing
from services.hardware.nvml import Nvml, read_driver


class Inventory:
    """Reads this machine.

    Args:
        folder: where runs keep their files; its disk counts.
        visible_devices: CUDA_VISIBLE_DEVICES, None where it is not set.
    """

    def __init__(
        self,
        folder: Path,
        visible_devices: str | None = None,
        nvml: Nvml = pynvml,
        group: ControlGroup | None = None,
    ) -> None:
        self._folder = folder
        self._visible_devices = visible_devices
        self._nvml = nvml
        self._group = group or ControlGroup()

    def read(self) -> Machine:
        """Return what there is now. Blocks for milliseconds (the driver may take longer), so call it in a thread."""
        memory, free = self._memory()
        return Machine(
            node=socket.gethostname(),
            driver=read_driver(self._nvml, self._visible_devices, (memory, free)),
            cpu_cores=whole_cores(len(os.sched_getaffinity(0)), self._group.cpus()),
            memory=memory,
            memory_free=free,
            disk_free=shutil.disk_usage(existing(self._folder)).free,
            processor=processor_name(),
        )

    def _memory(self) -> tuple[int, int]:
        machine = psutil.virtual_memory()
        limit, free = self._group.memory() or (machine.total, machine.available)
        return min(limit, machine.total), min(free, machine.available)
