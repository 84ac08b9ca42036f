"""Recommended settings: they fit, keep what is decided, and say why."""

from __future__ import annotations

import dataclasses
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.errors import NotReady
from services.hardware.core_alternative import alternative
from services.hardware.core_choice import Choice, Dataset, Decided
from services.hardware.core_memory import Device
from services.hardware.core_parameters import shape
from services.hardware.core_recommend import recommend

GIB = 1 << 30
SMOL = shape(
    {
        "model_type": "llama",
        "vocab_size": 49152,
        "hidden_size": 576,
        "intermediate_size": 1536,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
        "tie_word_embeddings": True,
        "max_position_embeddings": 8192,
    }
)
LLAMA_8B = shape(
    {
        "model_type": "llama",
        "vocab_size": 128256,
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "max_position_embeddings": 131072,
    }
)


def cpu(gib: float = 20, free: float = 20) -> Device:
    """A machine without a GPU."""
    return Device("cpu", int(gib * GIB), int(free * GIB))


def gpu(gib: float) -> Device:
    """A GPU with bfloat16."""
    return Device("cuda", int(gib * GIB), int(gib * GIB), bf16=True)


def small(device: Device, dataset: Dataset | None = None, decided: Decided | None = None) -> Choice:
    """The recommendation for the 135M model."""
    return recommend(SMOL, SMOL.parameters, dataset or Dataset(60, 210), device, decided or Decided())


def large(device: Device) -> Choice:
    """The recommendation for the 8B model and 5,000 long examples."""
    return recommend(LLAMA_8B, LLAMA_8B.parameters, Dataset(5000, 1900), device, Decided())


def test_a_small_dataset_on_a_cpu_gets_small_batches_and_three_epochs() -> None:
    """Minutes, not hours; and enough steps to learn anything."""
    choice = small(cpu())

    assert (choice.plan.per_device_train_batch_size, choice.num_train_epochs) == (2, 3)
    assert (choice.plan.target.r, choice.lora_alpha, choice.plan.max_length) == (8, 16, 256)
    assert not choice.plan.bf16
    assert not choice.plan.gradient_checkpointing
    assert choice.estimate.fits


def test_every_setting_has_its_reason() -> None:
    """One sentence each, and each ends like one."""
    reasons = small(cpu()).reasons

    assert all(reason.endswith(".") for reason in reasons)
    for name in (
        "r = ",
        "lora_alpha",
        "target_modules",
        "max_length",
        "per_device_train_batch_size",
        "gradient_accumulation_steps",
        "num_train_epochs",
        "learning_rate",
        "gradient_checkpointing",
        "bf16",
        "Memory",
    ):
        assert any(name in reason for reason in reasons), name


def test_a_length_without_counted_examples_says_who_counts_them() -> None:
    """The check of a run, of which `ftf train --dry-run` shows this and what was counted as well."""
    reason = next(r for r in small(cpu(), Dataset(60, 0)).reasons if "max_length" in r)

    assert (
        reason
        == "max_length = 512: enough for most; how many examples are longer is said by the check of a run, not here."
    )


def test_batches_shrink_before_activations_are_computed_again() -> None:
    """Smaller batches cost least; accumulation keeps the examples of a step."""
    roomy, tight = large(gpu(80)), large(gpu(24))

    assert not roomy.plan.gradient_checkpointing
    assert roomy.plan.per_device_train_batch_size < 8
    assert tight.plan.gradient_checkpointing
    for choice in (roomy, tight):
        assert choice.plan.per_device_train_batch_size * choice.plan.gradient_accumulation_steps == 16
        assert choice.estimate.peak <= choice.estimate.available


@pytest.mark.parametrize(
    ("processes", "batch", "steps", "said"),
    [
        (1, 8, 2, ": 16 examples a step;"),
        (2, 8, 1, ": 16 examples a step of 2 processes;"),
        (8, 2, 1, ": 16 examples a step of 8 processes;"),
        (32, 1, 1, ": 32 examples a step of 32 processes, more than the 16 that suit 5,000 examples;"),
    ],
)
def test_processes_share_the_examples_of_a_step(processes: int, batch: int, steps: int, said: str) -> None:
    """Each takes batches of its own: a step is as large with eight of them as with one, where that can be."""
    choice = recommend(SMOL, SMOL.parameters, Dataset(5000, 200), gpu(80), Decided(), processes)
    sentence = next(reason for reason in choice.reasons if reason.startswith("per_device_train_batch_size"))

    assert (choice.plan.per_device_train_batch_size, choice.plan.gradient_accumulation_steps) == (batch, steps)
    assert said in sentence


def test_a_batch_that_was_decided_is_shared_as_well() -> None:
    """Accumulation makes up for what several processes take at once; what is decided is not said to be too much."""
    decided = Decided(per_device_train_batch_size=2)
    shared = recommend(SMOL, SMOL.parameters, Dataset(5000, 200), gpu(80), decided, 4)
    fixed = recommend(
        SMOL,
        SMOL.parameters,
        Dataset(5000, 200),
        gpu(80),
        dataclasses.replace(decided, gradient_accumulation_steps=4),
        4,
    )

    assert shared.plan.gradient_accumulation_steps == 2
    assert any("16 examples a step of 4 processes, around the batch size" in reason for reason in shared.reasons)
    assert any("32 examples a step of 4 processes, around the batch size" in reason for reason in fixed.reasons)


def test_examples_are_cut_last_and_it_says_so() -> None:
    """Cutting costs content."""
    choice = recommend(LLAMA_8B, LLAMA_8B.parameters, Dataset(100, 30_000), gpu(20), Decided())

    assert choice.plan.gradient_checkpointing
    assert choice.plan.per_device_train_batch_size == 1
    assert choice.plan.max_length < 30_000
    assert any("truncated" in reason for reason in choice.reasons)


def test_nothing_fits_is_said_with_both_numbers() -> None:
    """8 billion parameters in bfloat16 are 16 GB."""
    with pytest.raises(NotReady, match=r"needs at least .* GiB of cuda memory; 12\.0 GiB can be used") as caught:
        large(gpu(12))

    assert caught.value.reason == "INSUFFICIENT_MEMORY"


def test_reasons_are_those_of_the_settings_chosen() -> None:
    """DPO and KTO have a rate of their own; what fits only once other programs have ended is not said to fit now."""
    pairs, whole = small(cpu(), None, Decided(sequences=2)), small(cpu(), None, Decided(sequences=2, method="FULL"))
    crowded = " ".join(small(cpu(20, 0.5)).reasons)

    assert (pairs.learning_rate, whole.learning_rate) == (1e-5, 1e-6)
    assert "learning_rate = 1e-05: TRL's for DPO and KTO, ten times for an adapter." in pairs.reasons
    assert "learning_rate = 1e-06: TRL's for DPO and KTO." in whole.reasons
    assert "the activations fit without it once other programs have ended." in crowded
    assert "its state fits." not in crowded


def test_what_is_free_now_decides_where_it_is_enough() -> None:
    """On a busy machine lighter settings are chosen than on an idle one; if even they need more, others must end."""
    busy, crowded = small(cpu(20, 2.8)), small(cpu(20, 0.5))

    assert busy.estimate.peak <= 2.8 * GIB
    assert crowded.estimate.fits
    assert any("end other programs first" in reason for reason in crowded.reasons)


def test_the_context_of_the_model_bounds_max_length() -> None:
    """Longer examples are truncated, and it says so."""
    choice = small(cpu(200, 200), Dataset(10, 9000))

    assert choice.plan.max_length == 8192
    assert any("the model's context" in reason for reason in choice.reasons)


def test_where_nothing_else_fits_the_method_or_the_optimizer_gives_way_if_it_is_open() -> None:
    """On a GPU: weights in 4 bits, or an optimizer that keeps 8 bits; what is decided stays."""
    tight = gpu(14)
    quantised = recommend(LLAMA_8B, LLAMA_8B.parameters, Dataset(5000, 900), tight, Decided(method_open=True))
    needs = recommend(SMOL, SMOL.parameters, Dataset(5000, 200), gpu(80), Decided(method="FULL", bf16=False)).estimate
    least = Device("cuda", needs.peak, needs.peak, bf16=True)
    eight = small(replace(least, available=2_750_000_000, free=2_750_000_000), None, Decided(method="FULL", bf16=False))

    assert quantised.plan.target.method == "QLORA"
    assert eight.plan.target.optim == "adamw_8bit"
    assert any("the optimizer's state does not fit" in reason for reason in eight.reasons)


def test_the_next_best_settings_fit_and_say_what_they_win_and_cost() -> None:
    """Another method where it is open; else gradient checkpointing the other way; none where all is decided."""
    open_, roomy = Decided(method_open=True), cpu(20)
    other = alternative(SMOL, SMOL.parameters, small(roomy), roomy, open_)
    decided = alternative(SMOL, SMOL.parameters, small(roomy), roomy, Decided())
    fixed = Decided(gradient_checkpointing=False)

    assert other is not None
    assert (other.plan.target.method, "more memory" in other.reason) == ("FULL", True)
    assert decided is not None
    assert (decided.plan.gradient_checkpointing, "a third more time" in decided.reason) == (True, True)
    assert decided.estimate.peak <= roomy.available
    assert alternative(SMOL, SMOL.parameters, small(roomy, None, fixed), roomy, fixed) is None


DECIDED = st.builds(
    Decided,
    r=st.none() | st.integers(1, 64),
    lora_alpha=st.none() | st.floats(1, 128),
    target_modules=st.sampled_from([(), ("q_proj", "v_proj"), ("all-linear",)]),
    learning_rate=st.none() | st.floats(1e-6, 1e-2),
    num_train_epochs=st.none() | st.floats(0.5, 10),
    max_steps=st.none() | st.integers(1, 100),
    per_device_train_batch_size=st.none() | st.integers(1, 4),
    gradient_accumulation_steps=st.none() | st.integers(1, 8),
    max_length=st.none() | st.integers(16, 600),
    gradient_checkpointing=st.none() | st.booleans(),
    bf16=st.none() | st.booleans(),
)


@given(decided=DECIDED, examples=st.integers(0, 100_000), longest=st.integers(0, 600))
def test_what_is_decided_is_kept(decided: Decided, examples: int, longest: int) -> None:
    """Whatever it is, and however large the dataset."""
    device = Device("cuda", 100 * GIB, 100 * GIB, bf16=True)
    choice = small(device, Dataset(examples, longest), decided)
    chosen = {**dataclasses.asdict(choice), **dataclasses.asdict(choice.plan), **dataclasses.asdict(choice.plan.target)}

    for name, value in dataclasses.asdict(decided).items():
        if value not in (None, (), "") and name not in ("max_steps", "method_open"):
            assert chosen[name] == value
    assert choice.estimate.fits
    assert (choice.num_train_epochs is None) == (decided.max_steps is not None and decided.num_train_epochs is None)
