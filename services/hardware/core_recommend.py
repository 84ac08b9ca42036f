"""Settings that suit a model, a dataset and a machine, each with its reason."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import replace

from services.common.errors import NotReady
from services.common.numerals import gib
from services.common.objectives import comparing_rate
from services.hardware.core_adapter import ALL_LINEAR
from services.hardware.core_choice import Choice, Dataset, Decided, stepped
from services.hardware.core_memory import Device, Plan, estimate
from services.hardware.core_parameters import Shape
from services.hardware.core_reasons import reasons
from services.hardware.core_trained import EIGHT_BITS, FULL, QLORA, Target

ROUND_TO = 64
"""max_length is rounded up to a multiple of it."""

SHORTEST = 128
"""max_length is not cut below it to save memory."""

DEFAULT_LENGTH = 512
SMALL_MODEL = 1_000_000_000


def recommend(
    shape: Shape, parameters: int, dataset: Dataset, device: Device, decided: Decided, processes: int = 1
) -> Choice:
    """Return settings that fit, with a sentence for each.

    What is free now is enough where possible; else what is there at all, with a word about it.

    Args:
        processes: that train together, each with batches of its own, 1 or more.

    Raises:
        NotReady: nothing fits, even with the least that is sensible (INSUFFICIENT_MEMORY).
        InvalidArgument: a target module that the model does not have.
    """
    wish = _wish(shape, dataset, device, decided, processes)
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
    rate = decided.learning_rate if decided.learning_rate is not None else _learning_rate(parameters, plan)
    epochs = None if decided.num_train_epochs is None and stepped(decided) else _epochs(dataset, decided)
    choice = Choice(plan, alpha, rate, epochs, needs, _effective_batch(dataset), processes)
    return replace(choice, reasons=tuple(reasons(choice, wish, parameters, dataset, device, decided)))


def _wish(shape: Shape, dataset: Dataset, device: Device, decided: Decided, processes: int) -> Plan:
    """The settings that would be chosen if memory were no matter."""
    share = _effective_batch(dataset) / processes
    batch = decided.per_device_train_batch_size or min(2 if device.kind == "cpu" else 8, _power_of_two(share))
    steps = decided.gradient_accumulation_steps or max(1, round(share / batch))
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


def _power_of_two(most: float) -> int:
    return 1 << max(0, int(most).bit_length() - 1)


def _rank(dataset: Dataset) -> int:
    return 8 if dataset.examples < 200 else 16 if dataset.examples < 2000 else 32


def _epochs(dataset: Dataset, decided: Decided) -> float:
    if decided.num_train_epochs is not None:
        return decided.num_train_epochs
    return 3.0 if dataset.examples < 1000 else 2.0 if dataset.examples < 10_000 else 1.0


def _learning_rate(parameters: int, plan: Plan) -> float:
    whole = plan.target.method == FULL
    if plan.sequences > 1:
        return comparing_rate(whole)
    if whole:
        return 5e-5 if parameters < SMALL_MODEL else 2e-5
    return 5e-4 if parameters < SMALL_MODEL else 2e-4


def _length(shape: Shape, dataset: Dataset) -> int:
    wanted = _round_up(dataset.longest_tokens) if dataset.longest_tokens else DEFAULT_LENGTH
    return min(wanted, shape.context)


def _round_up(tokens: int) -> int:
    return max(ROUND_TO, math.ceil(tokens / ROUND_TO) * ROUND_TO)
