"""The next best settings beside the recommended ones, and what they win and cost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from services.common.numerals import gib
from services.hardware.core_choice import Choice, Decided
from services.hardware.core_memory import Device, Estimate, Plan, estimate
from services.hardware.core_parameters import Shape
from services.hardware.core_recommend import SMALL_MODEL
from services.hardware.core_trained import FULL, LORA, QLORA


@dataclass(frozen=True)
class Alternative:
    """Settings that fit too, and a sentence on them."""

    plan: Plan
    estimate: Estimate
    reason: str


def alternative(shape: Shape, parameters: int, choice: Choice, device: Device, decided: Decided) -> Alternative | None:
    """Return the next best settings that fit; None where everything is decided or nothing else fits.

    Raises:
        InvalidArgument: a target module that the model does not have.
    """
    for plan, words in _candidates(choice.plan, parameters, device, decided):
        needs = estimate(shape, parameters, plan, device)
        if needs.peak <= min(device.free, device.available):
            more = needs.peak - choice.estimate.peak
            memory = f"{gib(abs(more))} {'more' if more >= 0 else 'less'} memory"
            return Alternative(plan, needs, f"{words}; {memory} at the peak.")
    return None


def _candidates(plan: Plan, parameters: int, device: Device, decided: Decided) -> Iterator[tuple[Plan, str]]:
    """Yield other plans with what they win and cost, the best first. What is decided stays."""
    target = plan.target
    if decided.method_open and target.method == LORA and parameters < SMALL_MODEL:
        words = "method full: every weight learns, which fits more and forgets more, and what a run leaves is a model"
        yield replace(plan, target=replace(target, method=FULL)), words
    if decided.method_open and target.method == LORA and device.kind == "cuda":
        words = "method qlora: weights in 4 bits leave room for longer examples, and steps take longer"
        yield replace(plan, target=replace(target, method=QLORA)), words
    if decided.gradient_checkpointing is None:
        other = replace(plan, gradient_checkpointing=not plan.gradient_checkpointing)
        if plan.gradient_checkpointing:
            half = max(1, plan.per_device_train_batch_size // 2)
            if decided.per_device_train_batch_size is None and decided.gradient_accumulation_steps is None:
                steps = plan.gradient_accumulation_steps * plan.per_device_train_batch_size // half
                other = replace(other, per_device_train_batch_size=half, gradient_accumulation_steps=steps)
            yield other, "without gradient checkpointing: a quarter less time a step"
        else:
            yield other, "with gradient checkpointing: about a third more time a step"
