"""Defaults and ranges of training settings."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.json_format import ParseDict

from finetuneflow.training.v1 import config_pb2
from services.common.errors import InvalidArgument
from services.training.core import complete


def settings(**given: Any) -> dict[str, Any]:
    return complete(given, context_length=2048, bf16_available=False)


def test_every_field_of_the_contract_has_a_default() -> None:
    """A run's settings are complete: a field added to the contract must be added here."""
    message = ParseDict(settings(), config_pb2.TrainingConfig())
    present = {field.name for field, _ in message.ListFields()}
    lora = {field.name for field, _ in message.lora.ListFields()}

    assert present == {field.name for field in config_pb2.TrainingConfig.DESCRIPTOR.fields}
    assert lora == {field.name for field in config_pb2.LoraConfig.DESCRIPTOR.fields}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("learning_rate", 0.0),
        ("learning_rate", float("nan")),
        ("num_train_epochs", 1001),
        ("max_steps", 0),
        ("per_device_train_batch_size", 0),
        ("max_length", 15),
        ("max_length", 2049),
        ("warmup_ratio", 1.1),
        ("lr_scheduler_type", "nonsense"),
        ("optim", "paged_nonsense"),
        ("lora", {"r": 0}),
        ("lora", {"lora_dropout": 0.95}),
    ],
)
def test_a_setting_out_of_range_is_named(field: str, value: Any) -> None:
    """The error says which one, and what it may be."""
    with pytest.raises(InvalidArgument) as caught:
        settings(**{field: value})

    assert caught.value.field.startswith(f"config.{field}")


def test_the_default_length_fits_a_short_context() -> None:
    """A model with a context of 128 tokens trains at 128, without a word from the user."""
    assert complete({}, context_length=128, bf16_available=False)["max_length"] == 128


def test_bf16_follows_the_hardware_unless_it_is_set() -> None:
    """True where every GPU has it; a user's choice stays."""
    assert complete({}, context_length=0, bf16_available=True)["bf16"] is True
    assert complete({"bf16": False}, context_length=0, bf16_available=True)["bf16"] is False
