"""Where a training would run: what is asked for, and what it would get. Plain facts."""

from __future__ import annotations

from dataclasses import dataclass, replace

from services.common.jobs.port import check_gpus
from services.hardware.core_inventory import Machine
from services.hardware.core_memory import Device

USABLE = {"cpu": 0.9, "cuda": 0.95}
"""Share of the memory that a training may use; the rest is for the system, or lost between allocations."""


@dataclass(frozen=True)
class Asked:
    """What a training asks of the place where it runs.

    Args:
        gpus: on each node; None for the default of the place.
        product: of the GPUs; "" for any.
        memory: main memory in bytes; 0 for the default of the place.
        nodes: that train together.
        disk: of its own on each node, in bytes; 0 for the default of the place.
    """

    gpus: int | None = None
    product: str = ""
    memory: int = 0
    nodes: int = 1
    disk: int = 0


@dataclass(frozen=True)
class Room:
    """What each node has for a training beside its GPUs, in bytes; 0 where it is not known.

    Args:
        memory: most main memory that it can have.
        memory_free: that it can have now.
        limited: whether that is what it asks for, as in a cluster.
        disk: that it may fill, where it asks for a disk of its own.
        cache: of that, what comes from hubs may take.
    """

    memory: int = 0
    memory_free: int = 0
    limited: bool = False
    disk: int = 0
    cache: int = 0


@dataclass(frozen=True)
class Placement:
    """Where a training would run.

    Args:
        words: which place that is and why, a sentence each.
        assumed: whether the device's memory is a guess, so that nothing can be said about what fits.
        gpus: that the training gets on each node; 0 on CPUs.
        nodes: that train together.
        room: on each node.
    """

    device: Device
    words: tuple[str, ...] = ()
    assumed: bool = False
    gpus: int = 0
    nodes: int = 1
    room: Room = Room()

    @property
    def processes(self) -> int:
        """Processes that train together: one a GPU, or one a node."""
        return max(self.gpus, 1) * self.nodes


def on_cpu(memory: int, free: int, words: tuple[str, ...] = (), *, processor: str = "", cores: int = 0) -> Placement:
    """Return a place without a GPU, with main memory in bytes."""
    return Placement(Device("cpu", int(memory * USABLE["cpu"]), free, product=processor, cores=cores), words)


def on_gpu(
    memory: int, free: int, bf16: bool, words: tuple[str, ...] = (), *, product: str = "", assumed: bool = False
) -> Placement:
    """Return a place on a GPU with that much memory, in bytes."""
    return Placement(Device("cuda", int(memory * USABLE["cuda"]), free, bf16, product), words, assumed)


def on_machine(machine: Machine, asked: Asked) -> Placement:
    """Return where a training runs on one machine: on its best GPU, unless it asks for none or there is none.

    Raises:
        InvalidArgument: it asks for more GPUs than the machine has.
    """
    check_gpus(asked.gpus, len(machine.driver.gpus))
    gpu = machine.best_gpu
    if gpu is None or asked.gpus == 0:
        return on_cpu(machine.memory, machine.memory_free, processor=machine.processor, cores=machine.cpu_cores)
    found = on_gpu(gpu.memory, gpu.memory_free, gpu.bf16, product=gpu.product)
    room = Room(machine.memory, machine.memory_free)
    return replace(found, gpus=1 if asked.gpus is None else asked.gpus, room=room)
