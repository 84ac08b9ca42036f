"""What fits where: the arithmetic, on stored models and this machine."""

from __future__ import annotations

import asyncio

from services.common.documents.port import Document
from services.hardware.core_inventory import Machine
from services.hardware.core_memory import Device, Estimate, Plan, estimate
from services.hardware.core_recommend import Choice, Dataset, Decided, recommend
from services.hardware.ports import MachineReader
from services.hardware.store import model_shape

_USABLE = {"cpu": 0.9, "cuda": 0.95}
"""Share of the memory that a training may use; the rest is for the system, or lost between allocations."""


class Planning:
    """Answers what a training needs, and which settings suit."""

    def __init__(self, machine: MachineReader) -> None:
        self._machine = machine

    async def inventory(self) -> Machine:
        """Return what there is to train on now."""
        return await asyncio.to_thread(self._machine.read)

    async def device(self) -> Device:
        """Return where a training would run."""
        machine = await self.inventory()
        gpu = machine.best_gpu
        total, free = (gpu.memory, gpu.memory_free) if gpu else (machine.memory, machine.memory_free)
        return Device(machine.device, int(total * _USABLE[machine.device]), free, machine.bf16)

    def estimate(self, model: Document, plan: Plan, device: Device) -> Estimate:
        """Return what a training needs.

        Raises:
            NotReady: the architecture is not known (ARCHITECTURE_UNKNOWN).
            InvalidArgument: a target module that the model does not have.
        """
        return estimate(model_shape(model), model["parameters"], plan, device)

    def recommend(self, model: Document, dataset: Dataset, device: Device, decided: Decided) -> Choice:
        """Return settings that fit.

        Raises:
            NotReady: as for estimate, and INSUFFICIENT_MEMORY when nothing fits.
            InvalidArgument: a target module that the model does not have.
        """
        return recommend(model_shape(model), model["parameters"], dataset, device, decided)
