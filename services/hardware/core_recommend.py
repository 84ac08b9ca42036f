"""Settings that suit a model, a dataset and a machine, each with its reason."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from services.common.errors import NotReady
from services.common.numerals import plain
from services.hardware.core_adapter import ALL_LINEAR
from services.hardware.core_memory import Device, Estimate, Plan, estimate
from services.hardware.core_parameters import Shape
from services.hardware.core_trained import EIGHT_BITS, FULL, LORA, QLORA, Target
from services.hardware.core_units import billions, gib

ROUND_TO = 64
"""max_length is rounded up to a multiple of it."""

SHORTEST = 128
"""max_length is not cut below it to save memory."""

DEFAULT_LENGTH = 512
SMALL_MODEL = 1_000_000_000

_METHODS = {
    LORA: "LoRA: small adapters beside frozen weights need a fraction of the memory of full fine-tuning.",
    QLORA: "QLoRA: weights kept in 4 bits take a quarter of the memory of bf16, and steps take longer.",
    FULL: "Full fine-tuning: as decided; every weight is trained, which takes the most memory.",
}


@dataclass(frozen=True)
class Dataset:
    """What is known of the training examples; 0 means not known."""

    examples: int = 0
    longest_tokens: int = 0


@dataclass(frozen=True)
class Decided:
    """Settings that are decided already, by the contract's names; None or "" is open. They are kept.

    The method is LORA where it is open (`method_open`).
    """

    method: str = LORA
    method_open: bool = False
    optim: str = ""
    r: int | None = None
    lora_alpha: float | None = None
    target_modules: tuple[str, ...] = ()
    use_dora: bool = False
    modules_to_save: tuple[str, ...] = ()
    reference: bool = False
    learning_rate: float | None = None
    num_train_epochs: float | None = None
    max_steps: int | None = None
    per_device_train_batch_size: int | None = None
    gradient_accumulation_steps: int | None = None
    max_length: int | None = None
    gradient_checkpointing: bool | None = None
    bf16: bool | None = None
    packing: bool = False
    sequences: int = 1


@dataclass(frozen=True)
class Choice:
    """The recommended settings. num_train_epochs is None where max_steps was decided."""

    plan: Plan
    lora_alpha: float
    learning_rate: float
    num_train_epochs: float | None
    estimate: Estimate
    reasons: tuple[str, ...] = field(default=())


def recommend(shape: Shape, parameters: int, dataset: Dataset, device: Device, decided: Decided) -> Choice:
    """Return settings that fit, with a sentence for each.

    What is free now is enough where possible; else what is there at all, with a word about it.

    Raises:
        NotReady: nothing fits, even with the least that is sensible (INSUFFICIENT_MEMORY).
        InvalidArgument: a target module that the model does not have.
    """
    wish = _wish(shape, dataset, device, decided)
    lighter = itertools.chain(_lighter(wish, decided), _other_kinds(wish, device, decided))
    tried = [(plan, estimate(shape, parameters, plan, device)) for plan in lighter]
    fitting = next((pair for pair in tried if pair[1].peak <= min(device.free, device.available)), None)
    fitting = fitting or next((pair for pair in tried if pair[1].fits), None)
    if fitting is None:
        least = min(tried, key=lambda pair: pair[1].peak)[1]
        raise NotReady(
            f"Training this model needs at least {gib(least.peak)} of {device.kind} memory; {gib(device.available)} "
            "can be used. Choose a smaller model, leave more settings open, or use a machine with more memory.",
            reason="INSUFFICIENT_MEMORY",
            metadata={"needed_bytes": str(least.peak), "available_bytes": str(device.available)},
        )
    plan, needs = fitting
    alpha = decided.lora_alpha if decided.lora_alpha is not None else float(2 * plan.target.r)
    rate = (
        decided.learning_rate if decided.learning_rate is not None else _learning_rate(parameters, plan.target.method)
    )
    epochs = None if decided.num_train_epochs is None and _stepped(decided) else _epochs(dataset, decided)
    choice = Choice(plan, alpha, rate, epochs, needs)
    return replace(choice, reasons=tuple(_reasons(choice, wish, parameters, dataset, device, decided)))


def _wish(shape: Shape, dataset: Dataset, device: Device, decided: Decided) -> Plan:
    """The settings that would be chosen if memory were no matter."""
    batch = decided.per_device_train_batch_size or (2 if device.kind == "cpu" else 8)
    steps = decided.gradient_accumulation_steps or max(1, math.ceil(_effective_batch(dataset) / batch))
    return Plan(
        target=Target(
            method=decided.method,
            r=decided.r or _rank(dataset),
            target_modules=decided.target_modules or (ALL_LINEAR,),
            use_dora=decided.use_dora,
            modules_to_save=decided.modules_to_save,
            optim=decided.optim or Target().optim,
        ),
        reference=decided.reference,
        per_device_train_batch_size=batch,
        gradient_accumulation_steps=steps,
        max_length=decided.max_length or _length(shape, dataset),
        gradient_checkpointing=bool(decided.gradient_checkpointing),
        bf16=decided.bf16 if decided.bf16 is not None else device.bf16,
        packing=decided.packing,
        sequences=decided.sequences,
    )


def _lighter(wish: Plan, decided: Decided) -> Iterator[Plan]:
    """Yield the plan, then ever lighter ones: what costs least comes first, what is decided stays.

    Smaller batches cost only speed, for accumulation restores the effective batch; computing activations again costs
    about a third more time; shorter examples cost content, so they come last.
    """
    plan = wish
    for checkpointing in (False, True) if decided.gradient_checkpointing is None else (wish.gradient_checkpointing,):
        plan = replace(wish, gradient_checkpointing=checkpointing)
        yield plan
        while decided.per_device_train_batch_size is None and plan.per_device_train_batch_size > 1:
            half = plan.per_device_train_batch_size // 2
            steps = decided.gradient_accumulation_steps or 2 * plan.gradient_accumulation_steps
            plan = replace(plan, per_device_train_batch_size=half, gradient_accumulation_steps=steps)
            yield plan
    while decided.max_length is None and plan.max_length > SHORTEST:
        plan = replace(plan, max_length=max(SHORTEST, plan.max_length * 3 // 4 // ROUND_TO * ROUND_TO))
        yield plan


def _other_kinds(wish: Plan, device: Device, decided: Decided) -> Iterator[Plan]:
    """Yield what is tried where nothing else fits: an optimizer that keeps 8 bits, weights in 4 bits; on a GPU only."""
    if device.kind != "cuda":
        return
    if not decided.optim and decided.method == FULL:
        yield from _lighter(replace(wish, target=replace(wish.target, optim=EIGHT_BITS)), decided)
    if decided.method_open:
        yield from _lighter(replace(wish, target=replace(wish.target, method=QLORA)), decided)


def _effective_batch(dataset: Dataset) -> int:
    """Small datasets need small batches, or they give too few steps to learn anything."""
    return 4 if dataset.examples < 200 else 8 if dataset.examples < 2000 else 16


def _rank(dataset: Dataset) -> int:
    return 8 if dataset.examples < 200 else 16 if dataset.examples < 2000 else 32


def _epochs(dataset: Dataset, decided: Decided) -> float:
    if decided.num_train_epochs is not None:
        return decided.num_train_epochs
    return 3.0 if dataset.examples < 1000 else 2.0 if dataset.examples < 10_000 else 1.0


def _learning_rate(parameters: int, method: str) -> float:
    if method == FULL:
        return 5e-5 if parameters < SMALL_MODEL else 2e-5
    return 5e-4 if parameters < SMALL_MODEL else 2e-4


def _length(shape: Shape, dataset: Dataset) -> int:
    wanted = _round_up(dataset.longest_tokens) if dataset.longest_tokens else DEFAULT_LENGTH
    return min(wanted, shape.context)


def _round_up(tokens: int) -> int:
    return max(ROUND_TO, math.ceil(tokens / ROUND_TO) * ROUND_TO)


def _stepped(decided: Decided) -> bool:
    return decided.max_steps is not None and decided.max_steps > 0


def _reasons(
    choice: Choice, wish: Plan, parameters: int, dataset: Dataset, device: Device, decided: Decided
) -> Iterator[str]:
    plan = choice.plan
    yield _METHODS[plan.target.method]
    if plan.target.optim == EIGHT_BITS and not decided.optim:
        yield f"optim = {EIGHT_BITS}: with values of 32 bits the optimizer's state does not fit."
    else:
        yield f"optim = {plan.target.optim}: {'as decided' if decided.optim else 'its state fits'}."
    if plan.target.method != FULL:
        yield from _adapter_reasons(choice, dataset, decided)
    yield _length_reason(plan, wish, dataset, decided)
    yield _batch_reason(plan, wish, device, decided)
    if choice.num_train_epochs is None:
        yield f"max_steps = {decided.max_steps}: as decided."
    else:
        why = "as decided" if decided.num_train_epochs is not None else f"usual for {_examples(dataset)}"
        yield f"num_train_epochs = {plain(choice.num_train_epochs)}: {why}."
    name = {LORA: "LoRA", QLORA: "QLoRA", FULL: "full fine-tuning"}[plan.target.method]
    why = f"usual for {name} on a model of {billions(parameters)} parameters"
    yield f"learning_rate = {choice.learning_rate:g}: {why if decided.learning_rate is None else 'as decided'}."
    yield _checkpointing_reason(plan, decided)
    yield _precision_reason(plan, device, decided)
    yield _memory_reason(choice.estimate, device)


def _adapter_reasons(choice: Choice, dataset: Dataset, decided: Decided) -> Iterator[str]:
    target = choice.plan.target
    why = "as decided" if decided.r else f"enough for {_examples(dataset)}"
    twice = "" if decided.lora_alpha else ", twice the rank"
    yield f"r = {target.r}: {why}; lora_alpha = {plain(choice.lora_alpha)}{twice}."
    if decided.target_modules:
        yield f"target_modules = {', '.join(target.target_modules)}: as decided."
    else:
        yield "target_modules = all-linear: adapters on every linear layer learn more than on attention alone."


def _examples(dataset: Dataset) -> str:
    count = dataset.examples
    return "a dataset of unknown size" if not count else "one example" if count == 1 else f"{count:,} examples"


def _length_reason(plan: Plan, wish: Plan, dataset: Dataset, decided: Decided) -> str:
    name, longest = f"max_length = {plan.max_length}", dataset.longest_tokens
    cut = f" Examples up to {longest:,} tokens are truncated." if longest > plan.max_length else ""
    if decided.max_length is not None:
        return f"{name}: as decided.{cut}"
    if plan.max_length < wish.max_length:
        return f"{name}: longer examples do not fit into the memory.{cut}"
    if longest > plan.max_length:
        return f"{name}: the model's context.{cut}"
    if longest:
        return f"{name}: the longest example has {longest:,} tokens; rounded up."
    return f"{name}: how long the examples are is not known."


def _batch_reason(plan: Plan, wish: Plan, device: Device, decided: Decided) -> str:
    size, steps = plan.per_device_train_batch_size, plan.gradient_accumulation_steps
    name = f"per_device_train_batch_size = {size}, gradient_accumulation_steps = {steps}"
    if decided.per_device_train_batch_size is not None:
        return f"{name}: {size * steps} examples a step, around the batch size that was decided."
    if size < wish.per_device_train_batch_size:
        return f"{name}: {size * steps} examples a step; larger batches do not fit into the memory."
    why = "a CPU gains nothing from larger ones" if device.kind == "cpu" else "it fits with room to spare"
    return f"{name}: {size * steps} examples a step; {why}."


def _checkpointing_reason(plan: Plan, decided: Decided) -> str:
    name = f"gradient_checkpointing = {str(plan.gradient_checkpointing).lower()}"
    if decided.gradient_checkpointing is not None:
        return f"{name}: as decided."
    if plan.gradient_checkpointing:
        return f"{name}: without it the activations do not fit; it costs about a third more time."
    return f"{name}: the activations fit without it."


def _precision_reason(plan: Plan, device: Device, decided: Decided) -> str:
    name = f"bf16 = {str(plan.bf16).lower()}"
    if decided.bf16 is not None:
        return f"{name}: as decided."
    words: dict[tuple[str, bool], str] = {
        ("cuda", True): "the GPU computes in bfloat16",
        ("cuda", False): "the GPU has no bfloat16",
        ("cpu", False): "CPUs emulate bfloat16, several times slower than float32",
    }
    return f"{name}: {words[device.kind, plan.bf16]}."


def _memory_reason(needs: Estimate, device: Device) -> str:
    text = f"Memory: about {gib(needs.peak)} at the peak, {gib(device.free)} are free"
    return text + ("." if needs.peak <= device.free else f" of {gib(device.available)}: end other programs first.")
