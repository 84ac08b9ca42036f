"""The memory estimate, against what trainings were measured to take."""

from __future__ import annotations

from dataclasses import replace

import pytest

from services.hardware.core_memory import Device, Plan, estimate
from services.hardware.core_parameters import Shape, shape
from services.hardware.core_trained import Target

GB = 1_000_000_000
CPU = Device("cpu", 64 * GB, 64 * GB)


def llama(vocab: int, hidden: int, intermediate: int, layers: int, heads: int, kv_heads: int) -> Shape:
    """A Llama's shape with tied embeddings."""
    return shape(
        {
            "model_type": "llama",
            "vocab_size": vocab,
            "hidden_size": hidden,
            "intermediate_size": intermediate,
            "num_hidden_layers": layers,
            "num_attention_heads": heads,
            "num_key_value_heads": kv_heads,
            "tie_word_embeddings": True,
        }
    )


SMOL = llama(49152, 576, 1536, 30, 9, 3)
SMOL_SMALL_VOCABULARY = llama(8192, 576, 1536, 30, 9, 3)
SMOL_HALF = llama(49152, 576, 1536, 15, 9, 3)
WIDE = llama(32000, 1024, 2816, 8, 16, 16)
TINY = llama(512, 64, 160, 2, 4, 2)

# Peak resident memory in MB of two steps of this trainer in float32 on a CPU, libraries included: torch 2.13, TRL 1.16,
# every token learnt, two examples a batch of `max_length` tokens (tests/bench/estimate_grid.py with these models).
MEASURED = [
    (SMOL, {"per_device_train_batch_size": 1, "max_length": 16}, 1562),
    (SMOL, {"max_length": 110}, 2212),
    (SMOL, {"max_length": 221}, 2887),
    (SMOL, {"max_length": 437}, 4488),
    (SMOL, {"per_device_train_batch_size": 4, "max_length": 110}, 2897),
    (SMOL, {"per_device_train_batch_size": 1, "max_length": 868}, 4256),
    (SMOL, {"max_length": 221, "r": 64}, 3031),
    (SMOL, {"max_length": 221, "gradient_checkpointing": True}, 2222),
    (SMOL, {"max_length": 437, "gradient_checkpointing": True}, 2940),
    (SMOL_SMALL_VOCABULARY, {"max_length": 221}, 2552),
    (SMOL_SMALL_VOCABULARY, {"max_length": 437}, 3655),
    (SMOL_SMALL_VOCABULARY, {"max_length": 437, "gradient_checkpointing": True}, 2478),
    (SMOL_HALF, {"max_length": 221}, 2246),
    (WIDE, {"max_length": 221}, 2344),
    (TINY, {"max_length": 221}, 944),
    (TINY, {"per_device_train_batch_size": 8, "max_length": 438}, 1038),
]


# Likewise, by method.
BY_METHOD = [
    (SMOL, "LORA", 110, 2212),
    (SMOL, "FULL", 110, 3620),
    (SMOL_HALF, "FULL", 221, 2859),
    (WIDE, "FULL", 110, 3568),
    (SMOL, "QLORA", 110, 2356),
    (SMOL, "QLORA", 221, 3106),
    (SMOL_HALF, "QLORA", 221, 2245),
    (WIDE, "QLORA", 110, 2020),
]


@pytest.mark.parametrize(("model", "method", "length", "measured"), BY_METHOD)
def test_the_estimate_holds_for_every_method(model: Shape, method: str, length: int, measured: int) -> None:
    """On a CPU, within 15 percent of what was measured."""
    plan = Plan(Target(method=method), max_length=length, gradient_accumulation_steps=1)

    assert estimate(model, model.parameters, plan, CPU).peak / 1e6 == pytest.approx(measured, rel=0.15)


@pytest.mark.parametrize(("model", "settings", "measured"), MEASURED)
def test_the_estimate_for_a_cpu_is_within_15_percent_of_what_was_measured(
    model: Shape, settings: dict[str, int], measured: int
) -> None:
    """Across models, vocabularies, batches, lengths, ranks, with and without checkpointing."""
    target = Target(r=settings.get("r", 8))
    chosen = {name: value for name, value in settings.items() if name != "r"}
    plan = Plan(**{"target": target, "gradient_accumulation_steps": 1, **chosen})  # type: ignore[arg-type]  # ints and a bool

    peak = estimate(model, model.parameters, plan, CPU).peak / 1e6

    assert peak == pytest.approx(measured, rel=0.15)


def test_the_exact_parts_are_exact() -> None:
    """SmolLM2-135M with r = 8: 134,515,008 weights, 2,442,240 trained."""
    parts = estimate(SMOL, SMOL.parameters, Plan(), CPU)

    assert parts.weights == 134_515_008 * 4
    assert (parts.adapter, parts.gradients, parts.optimizer) == (2_442_240 * 4, 2_442_240 * 4, 2_442_240 * 8)


def test_gradients_count_beside_activations_only_where_steps_accumulate() -> None:
    """Without accumulation they are freed before the next forward pass begins."""
    once = estimate(SMOL, SMOL.parameters, Plan(Target(r=64), gradient_accumulation_steps=1), CPU)
    twice = estimate(SMOL, SMOL.parameters, Plan(Target(r=64), gradient_accumulation_steps=2), CPU)

    assert twice.peak - once.peak == once.gradients
    assert once.peak == once.overhead + once.weights + once.adapter + once.optimizer + once.activations + once.logits


def test_bfloat16_halves_the_weights_and_leaves_the_adapter() -> None:
    """PEFT keeps adapters in float32."""
    gpu = Device("cuda", 80 * GB, 80 * GB, bf16=True)
    half = estimate(SMOL, SMOL.parameters, Plan(bf16=True), gpu)
    full = estimate(SMOL, SMOL.parameters, Plan(bf16=False), gpu)

    assert (half.weights * 2, half.activations * 2, half.adapter) == (full.weights, full.activations, full.adapter)


def test_what_fits_only_once_other_programs_have_ended_says_so() -> None:
    """A queued training may wait for the memory of one that runs, so it fits."""
    busy = replace(CPU, free=GB)
    tight = estimate(SMOL, SMOL.parameters, Plan(), busy)
    hopeless = estimate(SMOL, SMOL.parameters, Plan(), Device("cpu", GB, GB))

    assert tight.fits
    assert "954 MiB are free now" in tight.note
    assert not hopeless.fits
