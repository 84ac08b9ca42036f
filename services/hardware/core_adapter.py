"""The exact size of a LoRA adapter, from a model's shape and the names of the modules that get one.

An adapter on a matrix of n inputs and m outputs is two matrices of rank r: r·n + m·r parameters (Hu et al. 2021,
arXiv:2106.09685, section 4.1).
"""

from __future__ import annotations

from collections.abc import Sequence

from services.common.errors import InvalidArgument
from services.hardware.core_parameters import Linear, Shape

ALL_LINEAR = "all-linear"
"""PEFT's name for every linear layer but the output."""

_OUTPUT = "lm_head"
_EMBEDDINGS = {"gpt2": "wte"}


def targets(shape: Shape, target_modules: Sequence[str]) -> tuple[tuple[Linear, int], ...]:
    """Return the matrices that get an adapter, each with how many of it the model has.

    As PEFT reads a list: a name stands for every module whose path is it or ends with "." and it.

    Raises:
        InvalidArgument: a name that stands for nothing in this model.
    """
    if not target_modules or ALL_LINEAR in target_modules:
        return tuple((linear, shape.layers) for linear in shape.linears)
    modules = _matrices(shape)
    for name in target_modules:
        if not any(_named(linear, name) for linear, _ in modules):
            known = ", ".join(sorted({linear.path.rsplit(".", 1)[-1] for linear, _ in modules}))
            raise InvalidArgument(
                f'target_modules: the model has no module "{name[:80]}". Use "{ALL_LINEAR}", or some of: {known}.',
                field="config.lora.target_modules",
            )
    return tuple((m, count) for m, count in modules if any(_named(m, name) for name in target_modules))


def saved_parameters(shape: Shape, names: Sequence[str]) -> int:
    """Return the parameters of the matrices that are trained whole beside an adapter; norms are too few to count."""
    named = [(m, count) for m, count in _matrices(shape) if any(_named(m, name) for name in names)]
    return sum(count * linear.inputs * linear.outputs for linear, count in named)


def _matrices(shape: Shape) -> list[tuple[Linear, int]]:
    """Return every matrix of a model, each with how many of it there are."""
    outside = (
        Linear(_OUTPUT, shape.hidden, shape.vocab),
        Linear(_EMBEDDINGS.get(shape.family, "embed_tokens"), shape.vocab, shape.hidden),
    )
    return [*((linear, shape.layers) for linear in shape.linears), *((linear, 1) for linear in outside)]


def adapter_parameters(shape: Shape, r: int, target_modules: Sequence[str] = (), use_dora: bool = False) -> int:
    """Return the number of trainable parameters of an adapter of rank r.

    With DoRA each matrix also has a magnitude for each of its outputs (Liu et al. 2024, arXiv:2402.09353, section 4).

    Raises:
        InvalidArgument: a target that is not in this model.
    """
    found = targets(shape, target_modules)
    magnitudes = sum(count * linear.outputs for linear, count in found) if use_dora else 0
    return magnitudes + sum(count * r * (linear.inputs + linear.outputs) for linear, count in found)


def _named(linear: Linear, name: str) -> bool:
    return linear.path == name or linear.path.endswith("." + name)
