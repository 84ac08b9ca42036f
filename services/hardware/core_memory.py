"""What a training needs in memory at its peak, part by part.

Exact: weights, adapter, gradients and optimizer state (core_trained.py). Estimated: activations, logits and overhead.

Activations are counted per token and layer as the tensors that autograd keeps, after Korthikanti et al. 2022
(arXiv:2205.05198, section 4.1), written out for layers with and without a gate; attention is the fused kind that
keeps no square matrix. Logits: TRL projects onto the vocabulary in tiles of at most 4,096 tokens by 32,768 entries, so
that is all that exists at once; on a CPU answers and texts have theirs whole where that takes less (head.py of the
trainer), here as if every token were learnt. On a CPU all three, and the overhead, are fitted to the peak resident
memory of this trainer's step in float32 (torch 2.13, TRL 1.16): 32 trainings of small models of seven families, with
every method, with and without gradient checkpointing and packing (tests/bench/estimates.py); the tiles to models of up
to 137M parameters and 4,096 tokens a batch. On a GPU the factors are the published ones; they have not been fitted.

The optimizer's state outlives the step, so it is there together with the activations; gradients are not, for they come
as the activations go. Hence peak = overhead + weights + adapter + optimizer + max(activations + logits, gradients).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from services.common.numerals import gib
from services.hardware.core_parameters import Shape
from services.hardware.core_trained import FLOAT32, Target, kept

LIBRARIES = {"cpu": 928_000_000, "cuda": 900_000_000}
"""Bytes that a process with the libraries takes of main memory; on a GPU, a CUDA context with its workspaces."""

TILE_TOKENS = 4096
TILE_VOCABULARY = 32768
_MASKS = 1.3
"""Square matrices of the attention alive at once where examples are packed, fitted on a CPU."""


@dataclass(frozen=True)
class Plan:
    """The settings of a training that decide its memory, by the names of the contract. Defaults are the contract's.

    `reference`: whether answers are measured against a copy of the model.
    """

    target: Target = field(default_factory=Target)
    per_device_train_batch_size: int = 2
    gradient_accumulation_steps: int = 2
    max_length: int = 512
    gradient_checkpointing: bool = False
    bf16: bool = False
    packing: bool = False
    sequences: int = 1
    reference: bool = False

    @property
    def tokens(self) -> int:
        """Tokens of a batch: of one sequence for each example, or of two where answers are compared."""
        return self.per_device_train_batch_size * self.max_length * self.sequences


@dataclass(frozen=True)
class Device:
    """Where a training runs: "cpu" or "cuda", with memory in bytes that a training may use there, and free now.

    Args:
        product: a GPU's product or a processor's name; "" where it is not known.
        cores: of the processor; 0 where a GPU computes, or nobody knows.
        bf16_known: whether `bf16` is more than the safer guess.
    """

    kind: str
    available: int
    free: int
    bf16: bool = False
    product: str = ""
    cores: int = 0
    bf16_known: bool = True


@dataclass(frozen=True)
class Estimate:
    """Bytes, part by part; see plan.proto."""

    weights: int
    adapter: int
    gradients: int
    optimizer: int
    activations: int
    logits: int
    overhead: int
    peak: int
    device: str
    available: int
    note: str

    @property
    def fits(self) -> bool:
        return self.peak <= self.available


@dataclass(frozen=True)
class _Factors:
    """Fitted numbers of one kind of device.

    `kept`: bytes really held over the bytes of the tensors that autograd keeps. `logit_copies`: tiles alive at once.
    `whole_copies`: of logits that are no tiles, 0 where there are none.
    `checkpointed`: hidden states held per layer under gradient checkpointing. `recomputed`: layers' worth of
    activations alive while one is computed again. `overhead`: bytes of the framework itself.
    """

    kept: float
    logit_copies: float
    checkpointed: float
    recomputed: float
    overhead: int
    whole_copies: float = 0


_FACTORS = {
    "cpu": _Factors(
        kept=1.77,
        logit_copies=8.4,
        checkpointed=10,
        recomputed=1,
        overhead=LIBRARIES["cpu"] + 16_000_000,
        whole_copies=3.3,
    ),
    # TRL's CUDA kernels turn the logits into their gradient in place.
    "cuda": _Factors(kept=1.1, logit_copies=2, checkpointed=1, recomputed=2, overhead=LIBRARIES["cuda"]),
}

_NOTES = {
    "cpu": "Fitted to measured peaks of float32 training on a CPU: within about 15 % for small models.",
    "cuda": "After Korthikanti et al. 2022 (arXiv:2205.05198); not fitted to measured GPUs, so keep a margin.",
}


def estimate(shape: Shape, parameters: int, plan: Plan, device: Device) -> Estimate:
    """Return what a training needs.

    Args:
        shape: the model's dimensions.
        parameters: its exact number of parameters.
        plan: the settings, in range.
        device: where it runs.

    Raises:
        InvalidArgument: a target module that the model does not have.
    """
    factors = _FACTORS[device.kind]
    # The trainer computes in float32 on a CPU whatever is asked, for CPUs emulate bfloat16.
    width = 2 if plan.bf16 and device.kind == "cuda" else FLOAT32
    held = kept(shape, parameters, plan.target, width)
    activations = _activations(shape, plan, factors, width)
    logits = _logits(shape, plan, factors, width)
    # Gradients are freed before the next forward pass, unless steps accumulate: then they wait through it.
    passing = activations + logits + held.gradients if plan.gradient_accumulation_steps > 1 else activations + logits
    overhead = factors.overhead + (held.passing if device.kind == "cpu" else 0)
    weights = held.weights + (parameters * FLOAT32 if plan.reference else 0)
    peak = overhead + weights + held.adapter + held.optimizer + max(passing, held.gradients)
    return Estimate(
        weights=weights,
        adapter=held.adapter,
        gradients=held.gradients,
        optimizer=held.optimizer,
        activations=activations,
        logits=logits,
        overhead=overhead,
        peak=peak,
        device=device.kind,
        available=device.available,
        note=_note(peak, device),
    )


def _logits(shape: Shape, plan: Plan, factors: _Factors, width: int) -> int:
    tiles = factors.logit_copies * min(plan.tokens, TILE_TOKENS) * min(shape.vocab, TILE_VOCABULARY) * width
    whole = factors.whole_copies * plan.tokens * shape.vocab * width
    return int(min(tiles, whole) if whole and plan.sequences == 1 else tiles)


def _activations(shape: Shape, plan: Plan, factors: _Factors, width: int) -> int:
    layer = kept_values(shape) * factors.kept
    # Packed sequences lie behind each other in one row, under a mask that keeps them apart.
    mask = _MASKS * plan.tokens * min(plan.tokens, TILE_TOKENS) * shape.heads if plan.packing else 0
    if not plan.gradient_checkpointing:
        return int((plan.tokens * shape.layers * layer + mask) * width)
    held = shape.layers * shape.hidden * factors.checkpointed + layer * factors.recomputed
    return int((plan.tokens * held + mask) * width)


def kept_values(shape: Shape) -> int:
    """Numbers that autograd keeps per token and layer.

    Two norms keep their input, the normalised and the scaled values; attention keeps queries, keys, values and its
    output; a gated feed-forward layer keeps gate, activation, up-projection and product, a plain one its projection and
    the parts of the GELU.
    """
    attention = 2 * shape.heads * shape.head_dim + 2 * shape.kv_heads * shape.head_dim
    return 6 * shape.hidden + attention + (4 if shape.gated else 6) * shape.intermediate


def _note(peak: int, device: Device) -> str:
    note = _NOTES[device.kind]
    if device.free < peak <= device.available:
        note += f" Only {gib(device.free)} are free now: let other programs end first."
    return note
