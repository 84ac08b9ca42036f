"""Main memory that processes take to load a model for their GPUs, and what a machine has of it."""

from __future__ import annotations

import pytest

from services.hardware.core_inventory import Driver, Gpu, Machine
from services.hardware.core_loading import loading
from services.hardware.core_memory import Plan
from services.hardware.core_placement import Asked, Room, on_machine
from services.hardware.core_range import Range
from services.hardware.core_trained import FULL, LORA, QLORA, Target
from tests.unit.hardware.test_recommend import LLAMA_8B

GIB = 1 << 30
BASE = Range(464_000_000, 928_000_000, 2_784_000_000)
"""What a process takes without a model."""


def taken(
    method: str, *, bf16: bool = True, stored: str = "bfloat16", processes: int = 1, reference: bool = False
) -> Range:
    """Bytes of the 8B model."""
    plan = Plan(Target(method), bf16=bf16, reference=reference)
    return loading(LLAMA_8B, LLAMA_8B.parameters, stored, plan, processes)


@pytest.mark.parametrize(
    ("method", "bf16", "stored", "low", "high"),
    [
        (LORA, True, "bfloat16", 0, 2),
        (LORA, True, "float32", 2, 2),
        (LORA, False, "bfloat16", 4, 4),
        (LORA, False, "float32", 0, 4),
        (FULL, True, "bfloat16", 4, 4),
    ],
)
def test_weights_are_loaded_in_the_type_that_the_method_takes(
    method: str, bf16: bool, stored: str, low: int, high: int
) -> None:
    """Bytes a parameter; stored so, they stay pages of their file, unless an architecture puts them together."""
    found = taken(method, bf16=bf16, stored=stored)

    assert found.low == BASE.low + low * LLAMA_8B.parameters
    assert found.high == BASE.high + high * LLAMA_8B.parameters
    assert found.low <= found.likely <= found.high


def test_every_process_of_a_node_loads_for_itself() -> None:
    """And a model to measure against is another one."""
    one, eight, two = taken(FULL), taken(FULL, processes=8), taken(FULL, reference=True)

    assert eight.low == 8 * one.low
    assert two.low - one.low == 4 * LLAMA_8B.parameters


def test_weights_of_4_bits_are_made_on_the_gpu() -> None:
    """Some matrices at a time pass through the main memory, not the model."""
    found = taken(QLORA)

    assert found.low == BASE.low
    assert found.high < BASE.high + LLAMA_8B.parameters


def test_one_machine_has_what_is_free_of_its_memory() -> None:
    """A limit that a run could ask to raise there is none."""
    gpu = Gpu(0, "A", "u", 24 * GIB, 20 * GIB, (8, 6))
    machine = Machine("n", Driver(gpus=(gpu,)), 8, 32 * GIB, 12 * GIB, 10**12)

    assert on_machine(machine, Asked()).room == Room(32 * GIB, 12 * GIB)
