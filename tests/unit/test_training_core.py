"""Defaults and ranges of training settings."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.json_format import ParseDict

from finetuneflow.training.v1 import config_pb2
from services.common.errors import InvalidArgument, NotReady
from services.training.core import OPEN, complete
from services.training.core_objectives import objective_for
from services.training.core_problems import Problems, judge_evaluation, judge_steps

DPO: dict[str, Any] = {"objective": "OBJECTIVE_DPO", "loss_type": ["sigmoid", "sft"], "loss_weights": [1, 0.5]}
KTO: dict[str, Any] = {"objective": "OBJECTIVE_KTO"}
SAVED: dict[str, Any] = {"lora": {"modules_to_save": ["lm_head"]}}


def settings(**given: Any) -> dict[str, Any]:
    return complete(given, context_length=2048, bf16_available=False)


def test_every_field_of_the_contract_has_a_default_or_stays_open() -> None:
    """A run's settings are complete: a field added to the contract must be added here."""
    messages = [ParseDict(settings(**given), config_pb2.TrainingConfig()) for given in (SAVED, DPO, KTO)]
    message = messages[0]
    present = {field.name for each in messages for field, _ in each.ListFields()}
    lora = {field.name for field, _ in message.lora.ListFields()}

    assert present | OPEN == {field.name for field in config_pb2.TrainingConfig.DESCRIPTOR.fields}
    assert not present & OPEN
    assert not message.HasField("beta")
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
        ("neftune_noise_alpha", 0.0),
        ("method", 99),
        ("divergence_factor", 1.0),
        ("divergence_patience", 0),
        ("eval_steps", 0),
        ("early_stopping_patience", 0),
        ("metric_for_best_model", "loss"),
        ("metric_for_best_model", "eval_rewards/margins"),
        ("lora", {"r": 0}),
        ("lora", {"init_lora_weights": "eva"}),
        ("lora", {"init_lora_weights": "loftq"}),
        ("lora", {"init_lora_weights": "pissa_niter_0"}),
        ("lora", {"init_lora_weights": "orthogonal", "r": 7}),
        ("lora", {"init_lora_weights": "pissa", "use_dora": True}),
        ("lora", {"init_lora_weights": "olora", "modules_to_save": ["lm_head"]}),
        ("lora", {"lora_dropout": 0.95}),
        ("beta", 0.1),
        ("loss_type", ["sigmoid"]),
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


def test_full_fine_tuning_has_no_adapter_and_a_tenth_of_the_rate() -> None:
    """What was meant for an adapter is refused, not ignored."""
    full = settings(method="METHOD_FULL")
    with pytest.raises(InvalidArgument) as caught:
        settings(method="METHOD_FULL", lora={"r": 8})

    assert "lora" not in full
    assert (full["learning_rate"], settings()["learning_rate"]) == (2e-5, 2e-4)
    assert caught.value.field == "config.lora"


@pytest.mark.parametrize(
    "given", [{"lora": {"init_lora_weights": "pissa_niter_16"}, "neftune_noise_alpha": 5}, DPO, KTO]
)
def test_settings_complete_twice_are_the_same(given: dict[str, Any]) -> None:
    """Defaults are settings too."""
    once = settings(**given)

    assert settings(**once) == once


@pytest.mark.parametrize(
    ("objective", "field", "value"),
    [
        (DPO, "beta", 0.0),
        (DPO, "label_smoothing", 0.5),
        (DPO, "loss_type", ["kto"]),
        (DPO, "loss_type", ["sigmoid", "sigmoid"]),
        (DPO, "loss_weights", [1, 2, 3]),
        (DPO, "desirable_weight", 2.0),
        (DPO, "packing", True),
        (DPO, "assistant_only_loss", True),
        (DPO, "neftune_noise_alpha", 5.0),
        (DPO, "metric_for_best_model", "eval_mean_token_accuracy"),
        (KTO, "metric_for_best_model", "eval_rewards/accuracies"),
        (DPO, "lora", {"init_lora_weights": "pissa"}),
        (DPO, "lora", {"target_modules": ["lm_head"]}),
        (KTO, "loss_type", ["kto", "apo_zero_unpaired"]),
        (KTO, "label_smoothing", 0.1),
        (KTO, "lora", {"modules_to_save": ["lm_head"]}),
        (KTO, "per_device_train_batch_size", 1),
    ],
)
def test_what_an_objective_cannot_use_is_refused(objective: dict[str, Any], field: str, value: Any) -> None:
    """Rather than ignored."""
    with pytest.raises(InvalidArgument) as caught:
        settings(**{**objective, field: value})

    assert caught.value.field.startswith(f"config.{field}")


def test_the_best_of_preferences_may_be_chosen_by_rewards() -> None:
    """Of which more is better; by the loss where nothing is said, of which less is."""
    by = [
        settings(**DPO, eval_steps=5, metric_for_best_model=f"eval_rewards/{name}")
        for name in ("accuracies", "margins")
    ]
    open_ = settings(**KTO, early_stopping_patience=2)

    assert [found["greater_is_better"] for found in by] == [True, True]
    assert (open_["metric_for_best_model"], open_["greater_is_better"]) == ("eval_loss", False)
    assert (open_["eval_steps"], open_["load_best_model_at_end"]) == (open_["save_steps"], True)


def test_preferences_are_learnt_slowly_and_exo_pair_needs_smoothing() -> None:
    """The rate is TRL's, ten times that for an adapter."""
    full = settings(**DPO, method="METHOD_FULL")
    with pytest.raises(InvalidArgument) as caught:
        settings(objective="OBJECTIVE_DPO", loss_type=["exo_pair"])

    assert (full["learning_rate"], settings(**KTO)["learning_rate"]) == pytest.approx((1e-6, 1e-5))
    assert (full["completion_only_loss"], full["assistant_only_loss"]) == (True, False)
    assert caught.value.field == "config.loss_type"


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("optim", "schedule_free_adamw", "pip install schedulefree"),
        ("optim", "galore_adamw", "optim_target_modules"),
        ("lr_scheduler_type", "reduce_lr_on_plateau", "evaluations"),
        ("torch_compile", True, "has no GPU"),
        ("use_liger_kernel", True, "has no GPU"),
    ],
)
def test_what_is_not_here_is_refused_with_the_reason(field: str, value: Any, told: str) -> None:
    """Before a run is made."""
    with pytest.raises(InvalidArgument, match=told) as caught:
        settings(**{field: value})

    assert caught.value.field == f"config.{field}"


def test_what_is_installed_beside_the_trainer_is_taken() -> None:
    """Liger's kernels on a GPU only."""
    given = {"optim": "schedule_free_adamw", "use_liger_kernel": True}
    found = complete(given, context_length=0, bf16_available=False, gpu=True, installed=lambda package: True)
    with pytest.raises(InvalidArgument) as caught:
        complete({"use_liger_kernel": True}, context_length=0, bf16_available=False, gpu=True)

    assert (found["optim"], found["use_liger_kernel"]) == ("schedule_free_adamw", True)
    assert (caught.value.reason, caught.value.metadata) == ("PACKAGE_MISSING", {"package": "liger-kernel"})


def test_an_objective_is_for_a_kind_of_dataset() -> None:
    """Unset it follows the kind; what does not go together is refused with the objective that does."""
    followed = [objective_for({}, kind, "datasets/d") for kind in ("SFT", "PREFERENCE", "KTO")]
    with pytest.raises(NotReady) as caught:
        objective_for(KTO, "PREFERENCE", "datasets/d")

    assert followed == ["OBJECTIVE_SFT", "OBJECTIVE_DPO", "OBJECTIVE_KTO"]
    with pytest.raises(NotReady, match="datasets/d is an SFT dataset, which DPO does not learn from"):
        objective_for(DPO, "SFT", "datasets/d")
    assert caught.value.reason == "DATASET_KIND_NOT_TRAINABLE"
    assert "Set the objective to dpo" in caught.value.message


def test_qlora_begins_with_loftq_and_not_with_what_needs_whole_weights() -> None:
    """PiSSA and OLoRA take a part out of weights that QLoRA keeps in 4 bits."""
    chosen = settings(method="METHOD_QLORA", lora={"init_lora_weights": "loftq"})
    with pytest.raises(InvalidArgument) as caught:
        settings(method="METHOD_QLORA", lora={"init_lora_weights": "pissa"})

    assert chosen["lora"]["init_lora_weights"] == "loftq"
    assert caught.value.field == "config.lora.init_lora_weights"


def test_what_was_only_warned_of_may_still_be_refused() -> None:
    """A refusal is left out only for another refusal of the same words."""
    problems = Problems()
    problems.warn(NotReady("It is so. Change it."))
    problems.refuse(NotReady("It is so. Change it."))
    problems.refuse(NotReady("It is so. Change it."))

    assert [refuses for refuses, _ in problems.found] == [False, True]
    with pytest.raises(NotReady):
        problems.require_none()


@pytest.mark.parametrize(
    ("steps", "words"), [(0, []), (1, ["1 optimizer step, "]), (9, ["9 optimizer steps"]), (10, [])]
)
def test_a_run_of_few_steps_is_told_to_change_little(steps: float, words: list[str]) -> None:
    """0 where nobody knows how many it will have. It warns and refuses nothing."""
    problems = Problems()
    judge_steps(steps, -1, problems)

    assert len(problems.found) == len(words)
    assert all(word in str(error) for word, (_, error) in zip(words, problems.found, strict=True))
    assert not [refused for refused, _ in problems.found if refused]


def test_a_run_whose_steps_were_set_is_told_what_makes_it_longer() -> None:
    """max_steps goes before num_train_epochs, and neither more examples nor more passes over them add a step."""
    problems = Problems()
    judge_steps(5, 5, problems)

    ((_, error),) = problems.found
    assert "Raise max_steps" in str(error)
    assert "num_train_epochs" not in str(error)
    assert error.field == "config.max_steps"


@pytest.mark.parametrize(
    ("held_out", "kept_back", "begins", "says"),
    [
        (0, 30, "No example is of documents held out (and 30 kept back of trained documents), so", "says nothing"),
        (1, 1, "One example is of documents held out (and 1 kept back of trained documents), so", "says little"),
        (2, 0, "Only 2 examples are of documents held out, so that", "says little"),
    ],
)
def test_examples_of_trained_documents_are_not_counted_as_held_out(
    held_out: int, kept_back: int, begins: str, says: str
) -> None:
    """They say nothing about documents that were not trained on; a dataset and a report count them apart too."""
    few, enough = Problems(), Problems()
    judge_evaluation(held_out, kept_back, few)
    judge_evaluation(24, kept_back, enough)
    ((_, error),) = few.found

    assert error.message.startswith(begins)
    assert says in error.message
    assert enough.found == []
