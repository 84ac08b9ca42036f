"""Names of optimizers and schedulers that the service takes are names that the trainer can work with."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.training.core import OPTIMIZERS, SCHEDULERS


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_that_is_taken_makes_a_step(name: str, tmp_path: Path) -> None:
    """Each with the libraries that the trainer has, on a CPU too."""
    import torch
    from transformers import Trainer

    from services.trainer.settings import sft_config
    from tests.trainer.runs import config

    layer = torch.nn.Linear(64, 80)
    before = layer.weight.detach().clone()
    args = sft_config(config(optim=name), tmp_path, gpu=False, bf16=False)
    optimizer = Trainer(model=layer, args=args).create_optimizer()
    layer(torch.ones(2, 64)).sum().backward()
    optimizer.step()

    assert bool((layer.weight != before).any())


def test_every_scheduler_that_is_taken_is_one_of_transformers() -> None:
    """By its name there."""
    from transformers.trainer_utils import SchedulerType

    assert set(SCHEDULERS) <= {kind.value for kind in SchedulerType}
