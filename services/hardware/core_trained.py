"""What a training keeps in memory of the model, of what is trained in it, and of the optimizer. Exact.

LoRA: frozen weights in the type that is computed in, and an adapter in float32, for PEFT keeps it so. Full: weights in
float32, and under bfloat16 the copies that autocast makes of them. QLoRA: the
matrices of the layers in 4 bits with double quantisation (Dettmers et al. 2023, arXiv:2305.14314, section 3), the
embeddings, the output and the norms as with LoRA. Gradients are as wide as what is trained; AdamW
keeps two float32 values for each trained parameter (Loshchilov and Hutter 2019, arXiv:1711.05101).
"""

from __future__ import annotations

from dataclasses import dataclass

from services.hardware.core_adapter import adapter_parameters, saved_parameters
from services.hardware.core_parameters import Shape

FLOAT32 = 4
NF4 = 0.5 + 1 / 64 + 4 / (64 * 256)
"""Bytes of a weight in NF4: 4 bits, a scale of 8 bits for 64 of them, and a float32 for 256 scales."""

EIGHT_BITS = "adamw_8bit"
_STATE = {
    # Bytes for each trained parameter. AdamW keeps two values, Lion and RMSprop one; of bitsandbytes' in 8 bits
    # (Dettmers et al. 2022, arXiv:2110.02861). Adafactor keeps a value for each row and column: next to nothing.
    **dict.fromkeys((EIGHT_BITS, "adamw_bnb_8bit", "paged_adamw_8bit"), 2),
    **dict.fromkeys(("lion_8bit", "paged_lion_8bit"), 1),
    **dict.fromkeys(("lion_32bit", "paged_lion_32bit", "adagrad", "rmsprop"), 4),
    **dict.fromkeys(("sgd", "adafactor"), 0),
}

LORA, FULL, QLORA = "LORA", "FULL", "QLORA"


@dataclass(frozen=True)
class Target:
    """What is trained, by the names of the contract. Defaults are the contract's."""

    method: str = LORA
    r: int = 8
    target_modules: tuple[str, ...] = ()
    use_dora: bool = False
    modules_to_save: tuple[str, ...] = ()
    optim: str = "adamw_torch"


@dataclass(frozen=True)
class Kept:
    """Bytes of the model's weights, of the adapter, of the gradients and of the optimizer's state, and what passes.

    `passing`: bytes that are there for a moment, which counts on a CPU, where a process gives little back.
    """

    weights: int
    adapter: int
    gradients: int
    optimizer: int
    passing: int = 0


def trained_parameters(shape: Shape, parameters: int, target: Target) -> int:
    """Return the number of parameters that are trained.

    Raises:
        InvalidArgument: a target module that the model does not have.
    """
    if target.method == FULL:
        return parameters
    adapter = adapter_parameters(shape, target.r, target.target_modules, target.use_dora)
    return adapter + saved_parameters(shape, target.modules_to_save)


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
    state = _STATE.get(target.optim, 2 * FLOAT32) * trained
    if target.method == FULL:
        copies = parameters * width if width < FLOAT32 else 0
        # A second gradient of the embeddings, where they are tied, and the optimizer's own sums: fitted.
        largest = int(1.4 * shape.vocab * shape.hidden * FLOAT32)
        return Kept(parameters * FLOAT32 + copies, 0, trained * FLOAT32, state, largest)
    quantised = quantised_parameters(shape) if target.method == QLORA else 0
    weights = int(quantised * NF4) + (parameters - quantised) * width
    # Matrices are read in float32 before they are quantised: measured.
    return Kept(weights, trained * FLOAT32, trained * FLOAT32, state, quantised * FLOAT32)


def quantised_parameters(shape: Shape) -> int:
    """Return how many parameters QLoRA keeps in 4 bits: the matrices of the layers, without their biases."""
    return shape.layers * sum(linear.inputs * linear.outputs for linear in shape.linears)
