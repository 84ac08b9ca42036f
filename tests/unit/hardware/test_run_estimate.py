"""What a run is expected to take: ranges, and what earlier runs taught."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from services.hardware.core_calibration import Calibration, calibrated, device_key, ratio
from services.hardware.core_memory import Device, Plan
from services.hardware.core_run import Counted, Data, RunEstimate, Schedule, estimate_run
from services.hardware.core_trained import Target
from tests.unit.hardware.test_memory import GB, SMOL

CPU = Device("cpu", 64 * GB, 64 * GB, product="AMD EPYC", cores=2)
NONE = Calibration("AMD EPYC")
HUNDRED = Data.of_characters(100, 10, tuple(range(380, 480)))


def expected(
    plan: Plan | None = None,
    data: Data = HUNDRED,
    calibration: Calibration = NONE,
    device: Device = CPU,
    **schedule: Any,
) -> RunEstimate:
    """The estimate for the 135M model."""
    return estimate_run(SMOL, SMOL.parameters, plan or Plan(), Schedule(**schedule), data, device, calibration)


def test_every_quantity_is_a_range_around_what_is_likely() -> None:
    """Low, likely, high, in this order, and all over 0."""
    found = expected(price_per_hour=2.0)
    ranges = [
        *(found.training_memory, found.evaluation_memory, found.tokens, found.steps),
        *(found.train_seconds, found.evaluation_seconds, found.disk, found.cost),
    ]

    assert all(r is not None and 0 < r.low <= r.likely <= r.high for r in ranges)


def test_steps_are_exact_unless_examples_are_packed() -> None:
    """100 examples in batches of 2 times 2 are 25 steps a pass; 25 batches of 4 make 13 steps of two batches."""
    plain = expected(num_train_epochs=3)
    packed = expected(Plan(packing=True), num_train_epochs=3)

    assert (plain.steps.low, plain.steps.likely, plain.steps.high) == (75, 75, 75)
    assert expected(Plan(per_device_train_batch_size=4), num_train_epochs=1).steps.likely == 13
    assert expected(max_steps=7).steps.likely == 7
    assert expected(processes=4).steps.likely == 21
    assert packed.steps.high < plain.steps.low


def test_raw_texts_follow_each_other_and_none_is_cut() -> None:
    """100 texts of 38,000 characters are 10,000 tokens each, in sequences of 512, four of them a step."""
    long = Data.of_characters(100, 10, (38_000,) * 100)
    found = expected(Plan(), long, num_train_epochs=3, blocks=True)
    few = expected(Plan(), Data.of_characters(2, 0, (380, 380)), num_train_epochs=1, blocks=True)

    assert found.steps.likely == 3 * 489
    assert found.tokens.likely == pytest.approx(3 * 1_000_000)
    assert found.train_seconds.likely > 10 * expected(Plan(), long, num_train_epochs=3).train_seconds.likely
    assert found.training_memory.high == expected(Plan(), Data(100)).training_memory.high
    assert (few.steps.likely, few.tokens.likely) == (1, pytest.approx(200))


def test_answers_that_are_compared_take_two_sequences_and_the_model_as_it_was() -> None:
    """Twice the tokens of SFT, and each goes through the model once more than it would."""
    one, two = expected(), expected(Plan(sequences=2), answers=2)

    assert two.tokens.likely == 2 * one.tokens.likely
    assert two.steps == one.steps
    assert two.train_seconds.likely > 2.5 * one.train_seconds.likely


def test_tokens_that_were_counted_are_taken_as_they_are() -> None:
    """Times the epochs, whatever the characters would say; of a sample the mean is known to within 6 %."""
    counted = replace(HUNDRED, counted=Counted(examples=100, tokens=30_000, longest=900))
    whole = expected(data=counted, num_train_epochs=3)
    pairs = expected(data=counted, num_train_epochs=3, answers=2)
    some = expected(data=replace(counted, train_examples=5_000), num_train_epochs=1)
    raw = expected(data=counted, num_train_epochs=3, blocks=True)

    assert (whole.tokens.low, whole.tokens.likely, whole.tokens.high) == (90_000, 90_000, 90_000)
    assert pairs.tokens.likely == raw.tokens.likely == 90_000
    assert some.tokens.likely == 1_500_000
    assert some.tokens.high == pytest.approx(1_590_000)
    assert whole.training_memory.high >= expected().training_memory.high


def test_an_uploaded_base_model_lies_in_the_trainers_folder() -> None:
    """Whole, beside the checkpoints."""
    plain, fetched = expected(), expected(fetched_bytes=5 * GB)

    assert fetched.disk.low - plain.disk.low == fetched.disk.high - plain.disk.high == 5 * GB


def test_memory_follows_the_examples_where_they_are_shorter_than_max_length() -> None:
    """Batches are padded to their longest example only; where nothing is known, an example may fill max_length."""
    short = expected(Plan(max_length=2048))
    unknown = expected(Plan(max_length=2048), Data(100))

    assert short.training_memory.high < unknown.training_memory.likely
    assert unknown.tokens.high == 3 * 100 * 2048


def test_examples_that_were_not_looked_at_may_be_longer() -> None:
    """Of 1,000 examples the lengths of 100 are known."""
    partly = expected(Plan(max_length=2048), replace(HUNDRED, train_examples=1000))

    assert partly.training_memory.high == expected(Plan(max_length=2048), Data(1000)).training_memory.high


def test_evaluating_after_full_training_counts_the_base_model_again() -> None:
    """It is loaded beside the one whose weights were all trained."""
    full = expected(Plan(Target(method="FULL")))

    assert full.evaluation_memory.likely - expected().evaluation_memory.likely > 0.5 * SMOL.parameters * 4
    assert full.disk.likely > 12 * SMOL.parameters


def test_a_faster_device_takes_less_time() -> None:
    """By its product's published speed, on a CPU by its cores; gradient checkpointing costs a forward pass."""
    card = Device("cuda", 80 * GB, 80 * GB, bf16=True, product="NVIDIA H100 80GB HBM3")
    small = replace(card, product="Tesla T4")

    assert expected(device=replace(CPU, cores=8)).train_seconds.likely < expected().train_seconds.likely
    assert expected(device=card).train_seconds.likely < expected(device=small).train_seconds.likely
    assert expected(Plan(gradient_checkpointing=True)).train_seconds.likely > expected().train_seconds.likely


def test_calibration_corrects_what_is_likely_and_narrows_the_time() -> None:
    """By what earlier runs took."""
    learnt = Calibration("AMD EPYC", 3, training_memory=1.2, evaluation_memory=0.9, train_seconds=5)
    plain, found = expected(price_per_hour=1), expected(calibration=learnt, price_per_hour=1)

    assert found.training_memory.likely == pytest.approx(1.2 * plain.training_memory.likely)
    assert found.evaluation_memory.likely == pytest.approx(0.9 * plain.evaluation_memory.likely)
    assert found.train_seconds.likely == pytest.approx(5 * plain.train_seconds.likely)
    assert found.train_seconds.high / found.train_seconds.low < plain.train_seconds.high / plain.train_seconds.low


def test_factors_are_medians_within_bounds() -> None:
    """One odd run changes little, what was not measured nothing, and no factor makes an estimate absurd."""
    measured = [{"training_memory": m, "train_seconds": 1e6} for m in (1.1, 1.2, 1.9)]
    found = calibrated("x", [*measured, {"training_memory": 0.0}])

    assert (found.training_memory, found.train_seconds, found.evaluation_memory) == (1.2, 100.0, 1.0)
    assert found.runs == 4
    assert calibrated("x", [{"training_memory": 9.0}]).training_memory == 2.0
    assert calibrated("x", []) == Calibration("x")


def test_a_ratio_is_of_the_estimate_before_it_was_corrected() -> None:
    """An estimate of 200, corrected by 2, was 100 at first."""
    assert ratio(150, 200, 2.0) == 1.5
    assert ratio(0, 200, 1) == ratio(150, 0, 1) == 0


def test_a_product_is_the_same_however_it_is_written() -> None:
    """As the driver and torch have it, and as nodes are labelled."""
    assert device_key("NVIDIA H100 80GB HBM3") == device_key("NVIDIA-H100-80GB-HBM3") == "nvidia-h100-80gb-hbm3"
