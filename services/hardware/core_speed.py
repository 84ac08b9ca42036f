"""How long a training and an evaluation take: from the operations that they need and what a device does in a second.

A forward pass takes 2 operations for each weight of a matrix and token, and attention 2·length more for each of its
channels and both of its products; a backward pass takes as much again for the activations, and once more for the
weights that are trained (Kaplan et al. 2020, arXiv:2001.08361, section 2.1). Gradient checkpointing makes one more
forward pass. Of the published speed of a GPU a third is reached, as is usual for fine-tuning (PaLM, Chowdhery et al.
2022, arXiv:2204.02311, section 4.1, reports 20 to 46 %). What Python does for each layer is added. A first guess: what
runs really took corrects it.
"""

from __future__ import annotations

from dataclasses import dataclass

from services.hardware.core_memory import Device, Plan
from services.hardware.core_parameters import Shape
from services.hardware.core_trained import FULL, QLORA

_REACHED = 0.33
_CORE = 15e9
"""Operations in float32 that one core does in a second, measured at small batches; large ones reach more."""
_GPUS = (
    # Dense tensor operations a second in bfloat16 by NVIDIA's data sheets; V100 and T4 have float16 only.
    ("b200", 2250e12), ("gh200", 990e12), ("h200", 989e12), ("h100", 989e12), ("h800", 989e12), ("a100", 312e12),
    ("a800", 312e12), ("l40s", 362e12), ("l40", 181e12), ("l4", 121e12), ("a40", 150e12), ("a10", 125e12),
    ("a6000", 155e12), ("5090", 210e12), ("4090", 165e12), ("3090", 71e12), ("v100", 125e12), ("t4", 65e12),
)  # fmt: skip
_SOME_GPU = 100e12
_FLOAT32_SHARE = 0.1
_BANDWIDTH = {"cpu": 8e9, "cuda": 800e9}
"""Bytes a second at which weights are read when an answer is made token by token."""
_LAYER_SECONDS = {"cpu": 2e-3, "cuda": 4e-4}
"""What a layer takes beside its arithmetic in a forward pass."""
_STEP_SECONDS = 0.05


@dataclass(frozen=True)
class Work:
    """How much is to be done.

    Args:
        tokens: trained on, padding included.
        length: mean tokens of a sequence.
        passes: forward and backward passes.
        steps: optimizer steps.
        processes: devices that share it.
    """

    tokens: float
    length: float
    passes: float
    steps: float
    processes: int = 1


def train_seconds(shape: Shape, plan: Plan, device: Device, work: Work) -> float:
    """Return the likely seconds of a training."""
    full = plan.target.method == FULL
    # Where answers are compared, each goes once more through the model as it was.
    passes = (3 if full else 2) + (1 if plan.gradient_checkpointing else 0) + (1 if plan.sequences > 1 else 0)
    arithmetic = passes * work.tokens * _forward(shape, work.length) / _speed(device, plan.bf16) / work.processes
    layers = passes * work.passes * shape.layers * _LAYER_SECONDS[device.kind] * (2 if not full else 1)
    unpacking = 0.0
    if plan.target.method == QLORA:
        # Weights are made whole again in each pass.
        weights = shape.layers * sum(linear.inputs * linear.outputs for linear in shape.linears)
        unpacking = 2 * work.passes * weights * 10 / _BANDWIDTH[device.kind]
    return arithmetic + layers + unpacking + work.steps * _STEP_SECONDS


def evaluation_seconds(
    shape: Shape, parameters: int, plan: Plan, device: Device, tokens: float, answer_tokens: float
) -> float:
    """Return the likely seconds in which both models score tokens, and make answers one token after the other.

    Args:
        tokens: of all that is scored, once.
        answer_tokens: tokens that each model makes, one batch of answers after the other.
    """
    scored = 2 * tokens * _forward(shape, 256) / _speed(device, plan.bf16)
    one = parameters * (2 if plan.bf16 else 4) / _BANDWIDTH[device.kind] + shape.layers * _LAYER_SECONDS[device.kind]
    return scored + 2 * answer_tokens * one


def _forward(shape: Shape, length: float) -> float:
    """Operations for one token."""
    matrices = shape.layers * sum(linear.inputs * linear.outputs for linear in shape.linears)
    attention = 2 * shape.layers * shape.heads * shape.head_dim * length
    return 2 * (matrices + shape.vocab * shape.hidden + attention / 2)


def _speed(device: Device, bf16: bool) -> float:
    if device.kind == "cpu":
        return max(device.cores, 1) * _CORE
    product = device.product.lower()
    peak = next((speed for name, speed in _GPUS if name in product), _SOME_GPU)
    return peak * _REACHED * (1 if bf16 else _FLOAT32_SHARE)
