"""Main memory that processes take while they load a model, before its weights are on their GPUs.

Every process loads for itself. Weights that are stored in the type that they are loaded in stay pages of their file,
which processes share and a system takes back: measured with transformers 5.23 on a CPU, where weights of bfloat16
loaded as bfloat16 took none of a process's own memory, and loaded as float32 four bytes a parameter. Some architectures
put weights together while they are read, so the high end counts them whole. Those of 4 bits are made on the GPU, a
matrix at a time. What the libraries take beside a CUDA context is a guess: no GPU was measured.
"""

from __future__ import annotations

from services.hardware.core_memory import LIBRARIES, Plan
from services.hardware.core_parameters import Shape
from services.hardware.core_range import Range
from services.hardware.core_trained import FLOAT32, FULL, QLORA

_LIBRARIES_SPREAD = (0.5, 1.0, 3.0)
_READ_AT_ONCE = 4
"""Matrices that transformers reads at the same time, at most."""


def loading(shape: Shape, parameters: int, stored: str, plan: Plan, processes: int) -> Range:
    """Return the most main memory that the processes of a node take while they load a model for their GPUs, in bytes.

    Args:
        shape: the model's dimensions.
        parameters: its number of parameters.
        stored: type that most of its weights are stored in: "bfloat16".
        plan: the settings, in range.
        processes: on the node, 1 or more.
    """
    dtype, width = ("bfloat16", 2) if plan.bf16 and plan.target.method != FULL else ("float32", FLOAT32)
    whole = parameters * width
    if plan.target.method == QLORA:
        largest = max(shape.vocab * shape.hidden, *(linear.inputs * linear.outputs for linear in shape.linears))
        weights = Range(0, largest * width, _READ_AT_ONCE * largest * width)
    elif stored == dtype:
        weights = Range(0, 0, whole)
    else:
        weights = Range.exactly(whole)
    copies = 2 if plan.reference else 1
    libraries = [LIBRARIES["cpu"] * share for share in _LIBRARIES_SPREAD]
    ends = zip(libraries, (weights.low, weights.likely, weights.high), strict=True)
    return Range(*(processes * (least + copies * size) for least, size in ends))
