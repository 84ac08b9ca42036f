"""What a training keeps in memory of the model, of what is trained in it, and of the optimizer. Exact.

LoRA: frozen weights in the type that is computed in, and an adapter in float32, for PEFT keeps it so. Full: weights in
float32, and under bfloat16 the copies that autocast makes of them. Gradients are as wide as what is trained; AdamW
keeps two float32 values for each trained parameter (Loshchilov and Hutter 2019, arXiv:1711.05101).
"""

from __future__ import annotations

from dataclasses import dataclass

from services.hardware.core_adapter import adapter_parameters
from services.hardware.core_parameters import Shape

FLOAT32 = 4

LORA, FULL = "LORA", "FULL"


@dataclass(frozen=True)
class Target:
    """What is trained, by the names of the contract. Defaults are the contract's."""

    method: str = LORA
    r: int = 8
    target_modules: tuple[str, ...] = ()
    use_dora: bool = False


@dataclass(frozen=True)
class Kept:
    """Bytes of the model's weights, of the adapter, of the gradients and of the optimizer's state."""

    weights: int
    adapter: int
    gradients: int
    optimizer: int


def trained_parameters(shape: Shape, parameters: int, target: Target) -> int:
    """Return the number of parameters that are trained.

    Raises:
        InvalidArgument: a target module that the model does not have.
    """
    if target.method == FULL:
        return parameters
    return adapter_parameters(shape, target.r, target.target_modules, target.use_dora)


def kept(shape: Shape, parameters: int, target: Target, width: int) -> Kept:
    """Return what a training keeps.

    Args:
        shape: the model's dimensions.
        parameters: its exact number of parameters.
        target: what is trained.
        width: bytes of a number that is computed with.

    Raises:
        InvalidArgument: a target module that the model does not have.
    """
    trained = trained_parameters(shape, parameters, target)
    state = 2 * FLOAT32 * trained
    if target.method == FULL:
        copies = parameters * width if width < FLOAT32 else 0
        return Kept(parameters * FLOAT32 + copies, 0, trained * FLOAT32, state)
    return Kept(parameters * width, trained * FLOAT32, trained * FLOAT32, state)
