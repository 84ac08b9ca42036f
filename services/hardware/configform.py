"""TrainingConfig as the arithmetic takes it, and back."""

from __future__ import annotations

import math

from finetuneflow.training.v1 import config_pb2
from services.common.errors import InvalidArgument
from services.common.numerals import plain
from services.hardware.core_adapter import ALL_LINEAR
from services.hardware.core_choice import Choice, Decided
from services.hardware.core_memory import Plan
from services.hardware.core_trained import FULL, LORA, Target

# Ranges of the contract; only of settings that the arithmetic reads. The training service checks them all.
_RANGES: dict[str, tuple[float, float]] = {
    "learning_rate": (0, 1),
    "num_train_epochs": (0, 1000),
    "per_device_train_batch_size": (1, 1024),
    "gradient_accumulation_steps": (1, 1024),
    "max_length": (16, math.inf),
}
_LORA_RANGES: dict[str, tuple[float, float]] = {"r": (1, 1024), "lora_alpha": (0, 65536)}
_COMPARING = (config_pb2.OBJECTIVE_DPO, config_pb2.OBJECTIVE_KTO)
"""A better and a worse answer go through the model, or with KTO a second one for the distance to the base model."""
_PLAIN = (*_RANGES, "max_steps", "gradient_checkpointing", "bf16")


def decided(config: config_pb2.TrainingConfig, context: int) -> Decided:
    """Return the settings that are set.

    Args:
        context: the model's longest context, in tokens.

    Raises:
        InvalidArgument: one is out of range.
    """
    _check(config, _RANGES, "config")
    _check(config.lora, _LORA_RANGES, "config.lora")
    if config.max_length > context:
        raise InvalidArgument(
            f"max_length is {config.max_length}, the model's context {context} tokens. Use at most that.",
            field="config.max_length",
        )
    plain = {name: getattr(config, name) for name in _PLAIN if config.HasField(name)}  # type: ignore[arg-type]  # its own names
    lora = {name: getattr(config.lora, name) for name in _LORA_RANGES if config.lora.HasField(name)}  # type: ignore[arg-type]  # as above
    return Decided(
        **plain,
        **lora,
        method=_method(config.method),
        method_open=config.method == config_pb2.METHOD_UNSPECIFIED,
        optim=config.optim,
        target_modules=tuple(config.lora.target_modules),
        use_dora=config.lora.use_dora,
        # Raw text is packed before it is trained on, without a mask.
        packing=config.packing and config.objective != config_pb2.OBJECTIVE_PRETRAIN,
        modules_to_save=tuple(config.lora.modules_to_save),
        reference=_has_reference(config),
        sequences=2 if config.objective in _COMPARING else 1,
    )


def plan(chosen: Decided, context: int, bf16: bool) -> Plan:
    """Return the settings with the contract's defaults for those that are open.

    Args:
        bf16: the default of bf16: whether the device computes in it.
    """
    default = Plan()
    return Plan(
        target=Target(
            method=chosen.method,
            r=chosen.r or default.target.r,
            target_modules=chosen.target_modules,
            use_dora=chosen.use_dora,
            modules_to_save=chosen.modules_to_save,
            optim=chosen.optim or default.target.optim,
        ),
        per_device_train_batch_size=chosen.per_device_train_batch_size or default.per_device_train_batch_size,
        gradient_accumulation_steps=chosen.gradient_accumulation_steps or default.gradient_accumulation_steps,
        max_length=chosen.max_length or min(default.max_length, context),
        gradient_checkpointing=bool(chosen.gradient_checkpointing),
        bf16=bf16 if chosen.bf16 is None else chosen.bf16,
        packing=chosen.packing,
        sequences=chosen.sequences,
        reference=chosen.reference,
    )


def other(recommended: config_pb2.TrainingConfig, plan: Plan) -> config_pb2.TrainingConfig:
    """Return the recommended settings with those of another plan; rates and passes stay open, for they differ."""
    config = config_pb2.TrainingConfig()
    config.CopyFrom(recommended)
    if plan.target.method == FULL:
        config.ClearField("lora")
    if config.method != config_pb2.Method.Value(f"METHOD_{plan.target.method}"):
        config.ClearField("learning_rate")
    _put(config, plan)
    return config


def recommended(given: config_pb2.TrainingConfig, choice: Choice) -> config_pb2.TrainingConfig:
    """Return the given settings with the recommended ones filled in; others stay open and get their defaults."""
    config = config_pb2.TrainingConfig()
    config.CopyFrom(given)
    target = choice.plan.target
    if target.method != FULL:
        config.lora.r, config.lora.lora_alpha = target.r, choice.lora_alpha
        config.lora.target_modules[:] = target.target_modules or [ALL_LINEAR]
    config.learning_rate = choice.learning_rate
    if choice.num_train_epochs is not None:
        config.num_train_epochs = choice.num_train_epochs
    _put(config, choice.plan)
    return config


def _has_reference(config: config_pb2.TrainingConfig) -> bool:
    """Whether a second copy of the model is kept, to measure against."""
    whole = config.method == config_pb2.METHOD_FULL and not config.precompute_ref_log_probs
    return whole and config.objective in _COMPARING


def _put(config: config_pb2.TrainingConfig, plan: Plan) -> None:
    config.method = config_pb2.Method.Value(f"METHOD_{plan.target.method}")
    config.optim = plan.target.optim
    config.per_device_train_batch_size = plan.per_device_train_batch_size
    config.gradient_accumulation_steps = plan.gradient_accumulation_steps
    config.max_length = plan.max_length
    config.gradient_checkpointing = plan.gradient_checkpointing
    config.bf16 = plan.bf16


def _method(number: int) -> str:
    if number == config_pb2.METHOD_UNSPECIFIED:
        return LORA
    try:
        return config_pb2.Method.Name(number).removeprefix("METHOD_")  # type: ignore[arg-type]  # or it is none
    except ValueError as error:
        raise InvalidArgument(
            f"The method {number} is not known. Use one of this server's contract.", field="config.method"
        ) from error


def _check(
    settings: config_pb2.TrainingConfig | config_pb2.LoraConfig, ranges: dict[str, tuple[float, float]], field: str
) -> None:
    for name, (low, high) in ranges.items():
        value = getattr(settings, name)
        if not settings.HasField(name):  # type: ignore[arg-type]  # the message's own names
            continue
        # Ranges from 0 leave 0 itself out.
        if not (low <= value <= high and value > 0):
            raise InvalidArgument(f"{name} is {plain(value)}. Use {_words(low, high)}.", field=f"{field}.{name}")


def _words(low: float, high: float) -> str:
    if math.isinf(high):
        return f"{plain(low)} or more"
    return f"{plain(low)} to {plain(high)}" if low else f"over 0 and at most {plain(high)}"
