"""What a machine has to train on, and what that means: plain facts, however they were read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from services.common.numerals import gib

BF16_SINCE = (8, 0)
"""First compute capability with bfloat16 arithmetic (Ampere)."""

BITSANDBYTES_4BIT_SINCE = (6, 0)
"""First compute capability with bitsandbytes' 4-bit kernels (Pascal)."""


@dataclass(frozen=True)
class Gpu:
    """One GPU; memory in bytes."""

    index: int
    product: str
    uuid: str
    memory: int
    memory_free: int
    capability: tuple[int, int]

    @property
    def bf16(self) -> bool:
        return self.capability >= BF16_SINCE

    @property
    def bitsandbytes_4bit(self) -> bool:
        return self.capability >= BITSANDBYTES_4BIT_SINCE


@dataclass(frozen=True)
class Driver:
    """What the NVIDIA driver says; `problem` is why it says nothing, "" where there is simply none or all is well."""

    version: str = ""
    cuda: str = ""
    gpus: tuple[Gpu, ...] = ()
    problem: str = ""


@dataclass(frozen=True)
class Machine:
    """What one machine has. Memory and disk in bytes; a container's limits if there are any. `processor`: its name."""

    node: str
    driver: Driver
    cpu_cores: int
    memory: int
    memory_free: int
    disk_free: int
    processor: str = ""

    @property
    def device(self) -> str:
        """Where a training runs: "cuda" or "cpu"."""
        return "cuda" if self.driver.gpus else "cpu"

    @property
    def best_gpu(self) -> Gpu | None:
        """The GPU with the most memory; a run is planned for one."""
        return max(self.driver.gpus, key=lambda gpu: (gpu.memory, -gpu.index), default=None)

    @property
    def available(self) -> int:
        """Bytes that a training may count on: a GPU's memory, else the main memory that is free."""
        gpu = self.best_gpu
        return gpu.memory if gpu else self.memory_free

    @property
    def bf16(self) -> bool:
        """Whether to compute in bfloat16. CPUs emulate it, several times slower than float32."""
        gpu = self.best_gpu
        return gpu.bf16 if gpu else False


def visible(gpus: Sequence[Gpu], wish: str | None) -> tuple[Gpu, ...]:
    """Return the GPUs that CUDA_VISIBLE_DEVICES leaves, in its order.

    As CUDA reads it: None leaves all; entries are indices or beginnings of uuids; the first entry that names no GPU
    ends the list, so that "" and "-1" leave none.
    """
    if wish is None:
        return tuple(gpus)
    chosen: list[Gpu] = []
    for entry in (part.strip() for part in wish.split(",")):
        found = [g for g in gpus if entry and (str(g.index) == entry or g.uuid.lower().startswith(entry.lower()))]
        if len(found) != 1 or found[0] in chosen:
            break
        chosen.append(found[0])
    return tuple(chosen)


def summary(machine: Machine) -> str:
    """Return in one sentence what the machine means for training."""
    gpu = machine.best_gpu
    if gpu is None:
        why = machine.driver.problem or "no GPU"
        cores = "1 core" if machine.cpu_cores == 1 else f"{machine.cpu_cores} cores"
        memory = f"{gib(machine.memory_free)} of {gib(machine.memory)} memory free"
        return f"{why}: training runs on the CPU ({cores}, {memory})"
    count = len(machine.driver.gpus)
    number = "one GPU" if count == 1 else f"{count} GPUs, one used by a run"
    kind = "bfloat16" if gpu.bf16 else "float32 (no bfloat16 before compute capability 8.0)"
    return f"{number}: training runs on {gpu.product} ({gib(gpu.memory)}) in {kind}"
