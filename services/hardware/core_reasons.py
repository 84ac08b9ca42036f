"""Why settings were chosen, a sentence for each of them. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from services.common.numerals import gib, plain
from services.hardware.core_choice import Choice, Dataset, Decided
from services.hardware.core_memory import Device, Estimate, Plan
from services.hardware.core_trained import EIGHT_BITS, FULL, LORA, QLORA
from services.hardware.core_units import billions

_METHODS = {
    LORA: "LoRA: small adapters beside frozen weights need a fraction of the memory of full fine-tuning.",
    QLORA: "QLoRA: weights kept in 4 bits take a quarter of the memory of bf16, and steps take longer.",
    FULL: "Full fine-tuning: as decided; every weight is trained, which takes the most memory.",
}


def reasons(
    choice: Choice, wish: Plan, parameters: int, dataset: Dataset, device: Device, decided: Decided
) -> Iterator[str]:
    """Return a sentence for each setting, made of the settings that were chosen.

    Args:
        wish: what would have been chosen if memory were no matter.
    """
    plan, later = choice.plan, "" if choice.estimate.peak <= device.free else " once other programs have ended"
    yield _METHODS[plan.target.method]
    if plan.target.optim == EIGHT_BITS and not decided.optim:
        yield f"optim = {EIGHT_BITS}: with values of 32 bits the optimizer's state does not fit."
    else:
        yield f"optim = {plan.target.optim}: {'as decided' if decided.optim else f'its state fits{later}'}."
    if plan.target.method != FULL:
        yield from _adapter_reasons(choice, dataset, decided)
    yield _length_reason(plan, wish, dataset, decided)
    yield _batch_reason(choice, wish, dataset, device, decided, later)
    if choice.num_train_epochs is None:
        yield f"max_steps = {decided.max_steps}: as decided."
    else:
        why = "as decided" if decided.num_train_epochs is not None else f"usual for {_examples(dataset)}"
        yield f"num_train_epochs = {plain(choice.num_train_epochs)}: {why}."
    yield _rate_reason(choice, parameters, decided)
    yield _checkpointing_reason(plan, decided, later)
    yield _precision_reason(plan, device, decided)
    yield _memory_reason(choice.estimate, device)


def _rate_reason(choice: Choice, parameters: int, decided: Decided) -> str:
    name, method = f"learning_rate = {choice.learning_rate:g}", choice.plan.target.method
    if decided.learning_rate is not None:
        return f"{name}: as decided."
    if choice.plan.sequences > 1:
        return f"{name}: TRL's for DPO and KTO{'' if method == FULL else ', ten times for an adapter'}."
    words = {LORA: "LoRA", QLORA: "QLoRA", FULL: "full fine-tuning"}[method]
    return f"{name}: usual for {words} on a model of {billions(parameters)} parameters."


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
    return f"{name}: enough for most; how many examples are longer is said by the check of a run, not here."


def _batch_reason(choice: Choice, wish: Plan, dataset: Dataset, device: Device, decided: Decided, later: str) -> str:
    size, steps = choice.plan.per_device_train_batch_size, choice.plan.gradient_accumulation_steps
    name = f"per_device_train_batch_size = {size}, gradient_accumulation_steps = {steps}"
    name += f": {choice.examples} examples a step{_together(choice, dataset, decided)}"
    if decided.per_device_train_batch_size is not None:
        return f"{name}, around the batch size that was decided."
    if size < wish.per_device_train_batch_size:
        return f"{name}; larger batches do not fit into the memory."
    why = "a CPU gains nothing from larger ones" if device.kind == "cpu" else f"it fits{later}"
    return f"{name}; {why}."


def _together(choice: Choice, dataset: Dataset, decided: Decided) -> str:
    """Return how a step's examples come together where several processes train."""
    if choice.processes == 1:
        return ""
    among = f" of {choice.processes} processes"
    if decided.gradient_accumulation_steps is not None or choice.examples <= choice.aim:
        return among
    return f"{among}, more than the {choice.aim} that suit {_examples(dataset)}"


def _checkpointing_reason(plan: Plan, decided: Decided, later: str) -> str:
    name = f"gradient_checkpointing = {str(plan.gradient_checkpointing).lower()}"
    if decided.gradient_checkpointing is not None:
        return f"{name}: as decided."
    if plan.gradient_checkpointing:
        return f"{name}: without it the activations do not fit; it costs about a third more time."
    return f"{name}: the activations fit without it{later}."


def _precision_reason(plan: Plan, device: Device, decided: Decided) -> str:
    name = f"bf16 = {str(plan.bf16).lower()}"
    if decided.bf16 is not None:
        return f"{name}: as decided."
    if not (plan.bf16 or device.bf16_known):
        return f"{name}: whether the GPU has bfloat16 is not known, and float32 runs on each; set it for one that has."
    words: dict[tuple[str, bool], str] = {
        ("cuda", True): "the GPU computes in bfloat16",
        ("cuda", False): "the GPU has no bfloat16",
        ("cpu", False): "CPUs emulate bfloat16, several times slower than float32",
    }
    return f"{name}: {words[device.kind, plan.bf16]}."


def _memory_reason(needs: Estimate, device: Device) -> str:
    text = f"Memory: about {gib(needs.peak)} at the peak, {gib(device.free)} are free"
    return text + ("." if needs.peak <= device.free else f" of {gib(device.available)}: end other programs first.")
