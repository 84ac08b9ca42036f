"""TRL's trainers, fed with tokens and labels that are made already: one for each objective."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Sequence
from typing import Any

import torch
from datasets import Dataset
from peft import PeftModel
from trl.trainer.dpo_trainer import DPOTrainer
from trl.trainer.kto_trainer import KTOTrainer
from trl.trainer.sft_trainer import SFTTrainer

from finetuneflow.training.v1 import config_pb2
from services.common.chat.encode import Encoded, begin
from services.trainer.head import project_learnt_only
from services.trainer.settings import eval_batch, is_full, is_judged, objective, setting, sft_config

Columns = dict[str, list[Any]]


class _Scheduled:
    """Gives schedulers of transformers the settings that they need and have no default for."""

    args: Any

    def create_scheduler(self, num_training_steps: int, *others: Any, **more: Any) -> Any:
        """See transformers' Trainer."""
        kind = str(getattr(self.args.lr_scheduler_type, "value", self.args.lr_scheduler_type))
        self.args.lr_scheduler_kwargs = _scheduler_settings(kind, num_training_steps)
        return super().create_scheduler(num_training_steps, *others, **more)  # type: ignore[misc]  # Trainer's


class _Sft(_Scheduled, SFTTrainer):
    """SFTTrainer that remembers over how many supervised tokens the step's loss is a mean."""

    supervised = 1.0

    def __init__(self, *args: Any, **settings: Any) -> None:
        """See SFTTrainer."""
        super().__init__(*args, **settings)
        project_learnt_only(self.model.get_base_model() if isinstance(self.model, PeftModel) else self.model)

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """See SFTTrainer."""
        if num_items_in_batch is not None:
            self.supervised = float(num_items_in_batch)
        return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)  # type: ignore[no-untyped-call]  # untyped in TRL


class _Ready(_Scheduled):
    """Leaves alone what is tokens already."""

    supervised = 1.0

    def _prepare_dataset(self, dataset: Any, *others: Any) -> Any:
        return dataset


class _Dpo(_Ready, DPOTrainer):
    """DPOTrainer of tokens. The loss is a mean over preferences."""


class _Kto(_Ready, KTOTrainer):
    """KTOTrainer of tokens. The loss is a mean over verdicts."""


def trainer_class(config: config_pb2.TrainingConfig) -> type[Any]:
    """Return the trainer of a training's objective."""
    classes: dict[str, type[Any]] = {"SFT": _Sft, "PRETRAIN": _Sft, "DPO": _Dpo, "KTO": _Kto}
    return classes[objective(config)]


def dataset_of(config: config_pb2.TrainingConfig, examples: Sequence[Encoded]) -> Dataset:
    """Return examples as the objective's trainer takes them."""
    columns: dict[str, Callable[[], Columns]] = {
        "SFT": lambda: _labelled(examples),
        "PRETRAIN": lambda: _labelled(examples),
        "DPO": lambda: _pairs(examples),
        "KTO": lambda: _verdicts(
            _mixed(examples, setting(config, "seed")), setting(config, "per_device_train_batch_size")
        ),
    }
    return Dataset.from_dict(columns[objective(config)]())


def held_out_of(config: config_pb2.TrainingConfig, examples: Sequence[Encoded]) -> dict[str, Any]:
    """Return what TRL evaluates on while training: preferences or verdicts. Answers we score ourselves."""
    if not examples or not is_judged(config):
        return {}
    pairs = objective(config) == "DPO"
    columns = _pairs(examples) if pairs else _verdicts(_alternating(examples), eval_batch(config))
    return {"eval_dataset": Dataset.from_dict(columns)}


def reference(config: config_pb2.TrainingConfig, load_base: Callable[[], Any]) -> dict[str, Any]:
    """Return the model that DPO and KTO measure against, where it takes one of its own.

    An adapter is switched off instead, and what is computed once beforehand needs none.
    """
    if not is_judged(config) or not is_full(config) or setting(config, "precompute_ref_log_probs"):
        return {}
    return {"ref_model": load_base()}


def arguments(config: config_pb2.TrainingConfig, folder: Any, model: Any, bf16: bool) -> Any:
    """Return the arguments of the objective's trainer; see sft_config."""
    sparse = any(getattr(model.config, name, 0) for name in _EXPERTS)
    return sft_config(config, folder, gpu=torch.cuda.is_available(), bf16=bf16, sparse=sparse)


_EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")
"""What configurations call the number of experts."""


def _scheduler_settings(kind: str, steps: int) -> dict[str, Any]:
    """Return what a scheduler has no default for.

    The least rate is a tenth of the highest (Hoffmann et al. 2022, arXiv:2203.15556, appendix B); a stable rate decays
    over the last tenth of the steps (Hu et al. 2024, arXiv:2404.06395, section 4).
    """
    if kind in ("cosine_with_min_lr", "cosine_warmup_with_min_lr"):
        return {"min_lr_rate": 0.1}
    return {"num_decay_steps": max(1, steps // 10)} if kind == "warmup_stable_decay" else {}


def _labelled(examples: Sequence[Encoded]) -> Columns:
    return {"input_ids": [e.input_ids for e in examples], "labels": [e.labels for e in examples]}


def _pairs(examples: Sequence[Encoded]) -> Columns:
    pairs = [e.sequences for e in examples]
    starts = [begin(better.labels) for better, _ in pairs]
    return {
        "prompt_ids": [better.input_ids[:start] for (better, _), start in zip(pairs, starts, strict=True)],
        "chosen_ids": [better.input_ids[start:] for (better, _), start in zip(pairs, starts, strict=True)],
        "rejected_ids": [worse.input_ids[start:] for (_, worse), start in zip(pairs, starts, strict=True)],
    }


def _mixed(examples: Sequence[Encoded], seed: int) -> list[Encoded]:
    """Return examples mixed once, for KTO takes them in order."""
    mixed = list(examples)
    random.Random(seed).shuffle(mixed)  # noqa: S311 - an order that can be had again, no secret
    return mixed


def _alternating(examples: Sequence[Encoded]) -> list[Encoded]:
    """Return wanted and unwanted answers in turn while there are both: a margin takes both kinds in a batch."""
    sides = [[e for e in examples if bool(e.row.label) is side] for side in (True, False)]
    return [e for pair in itertools.zip_longest(*sides) for e in pair if e is not None]


def _verdicts(ordered: Sequence[Encoded], batch: int) -> Columns:
    """Return verdicts in their order, each beside another answer of its batch.

    Those other answers are what KTO's estimate of the KL divergence is made with: TRL's own turn by one within a batch.
    """
    starts = [begin(e.labels) for e in ordered]
    answers = [e.input_ids[start:] for e, start in zip(ordered, starts, strict=True)]
    groups = [answers[first : first + batch] for first in range(0, len(answers), batch)]
    return {
        "prompt_ids": [e.input_ids[:start] for e, start in zip(ordered, starts, strict=True)],
        "completion_ids": answers,
        "KL_completion_ids": [answer for group in groups for answer in (group[-1], *group[:-1])],
        "label": [bool(e.row.label) for e in ordered],
    }
