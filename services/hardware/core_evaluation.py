"""What evaluating needs in memory at its peak: both models score examples in batches of at most so many tokens.

There are no gradients and no optimizer any more. The logits of a batch are there whole, with the copies that the loss
is made of. Beside a model whose every weight was trained, the base model is loaded again. On a CPU the factors are
fitted to the trainer's evaluation (tests/bench/estimates.py); on a GPU they are not.
"""

from __future__ import annotations

from services.hardware.core_memory import LIBRARIES, Device, Plan, kept_values
from services.hardware.core_parameters import Shape
from services.hardware.core_trained import FLOAT32, FULL, QLORA, kept

BATCH_TOKENS = 1024
"""Most tokens of a batch, but for an example that is longer."""

_LATE = 34_000_000
"""What libraries load at their first use."""
_LOGITS = 2.4
"""Copies of a batch's logits alive at once: fitted."""
_LAYERS = 1.75
"""Layers' worth of activations alive at once: fitted."""
_PASSING = 0.75
"""Of the second model, and of matrices quantised, what a process on a CPU has not given back: fitted."""


def evaluation_peak(
    shape: Shape, parameters: int, plan: Plan, device: Device, longest: int, batch: int = BATCH_TOKENS
) -> int:
    """Return the bytes of the peak.

    Args:
        longest: tokens of the longest example.
        batch: tokens of the largest batch.

    Raises:
        InvalidArgument: a target module that the model does not have.
    """
    width = 2 if plan.bf16 and device.kind == "cuda" else FLOAT32
    held = kept(shape, parameters, plan.target, width)
    tokens = max(longest, batch)
    logits = _LOGITS * tokens * shape.vocab * FLOAT32
    layers = _LAYERS * tokens * kept_values(shape) * width
    again = parameters * FLOAT32 * (_PASSING if device.kind == "cpu" else 1) if plan.target.method == FULL else 0
    passing = _PASSING * held.passing if device.kind == "cpu" and plan.target.method == QLORA else 0
    return int(LIBRARIES[device.kind] + _LATE + held.weights + held.adapter + logits + layers + again + passing)
