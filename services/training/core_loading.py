"""Main memory that a node's processes need to load a model before it is on their GPUs. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

from services.common.errors import NotReady
from services.common.numerals import gib
from services.training.core_problems import Problems


@dataclass(frozen=True)
class Memory:
    """Main memory that a run gets on each node, in bytes; 0 where nobody knows.

    Args:
        most: that it can ever have.
        free: that it can have now.
        limited: whether `most` is what its pods ask for, so that they may ask for more.
    """

    most: int = 0
    free: int = 0
    limited: bool = False


def judge_loading(low: float, high: float, processes: int, memory: Memory, problems: Problems) -> None:
    """Add that the main memory does not suffice to load the model, if so it is.

    Args:
        low, high: what the processes of a node take together, in bytes, as a range.
        processes: of a node.
    """
    if not memory.most or high <= memory.free:
        return
    add = problems.refuse if low > memory.most else problems.warn
    who = "The trainer" if processes == 1 else f"Each of the {processes} processes of a node"
    needed = f"{gib(low)} to {gib(high)}" if gib(low) != gib(high) else gib(high)
    needed += " in all" if processes > 1 else ""
    there = f"the run gets {gib(memory.most)}" if memory.limited else _there(memory)
    add(
        NotReady(
            f"{who} loads the model into main memory before it is on its GPU, which takes {needed}; {there}. "
            f"{_remedy(high, processes, memory, refused=low > memory.most)}",
            reason="INSUFFICIENT_MEMORY",
            field="resources.memory" if memory.limited else "resources.gpus",
            metadata={"peak_bytes": str(int(high)), "available_bytes": str(memory.most)},
        )
    )


def _remedy(high: float, processes: int, memory: Memory, *, refused: bool) -> str:
    less = "ask for fewer GPUs" if processes > 1 else "use a smaller model"
    if memory.limited:
        return f"Ask for more with `--memory {math.ceil(high / 2**30)}Gi`, or {less}."
    return f"{less[0].upper()}{less[1:]}." if refused else f"End other programs, or {less}."


def _there(memory: Memory) -> str:
    return f"{gib(memory.free)} of {gib(memory.most)} are free"
