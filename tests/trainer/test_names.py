"""Names of optimizers and schedulers that the service takes are names that the trainer can work with."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.common.errors import InvalidArgument
from services.common.packages import OF_PACKAGES
from services.training.core_names import (
    NOT_HERE,
    OPTIMIZERS,
    SCHEDULERS,
    SCHEDULERS_NOT_HERE,
)


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


@pytest.mark.parametrize("name", SCHEDULERS)
def test_every_scheduler_that_is_taken_makes_rates(name: str, tmp_path: Path) -> None:
    """By transformers' defaults, or by ours where there are none: never above the peak, and not all nothing."""
    import torch

    from services.trainer.settings import sft_config
    from services.trainer.trainers import _Sft
    from tests.trainer.runs import config

    trainer = object.__new__(_Sft)
    trainer.args = sft_config(config(lr_scheduler_type=name, warmup_ratio=0.25), tmp_path, gpu=False, bf16=False)
    trainer.lr_scheduler = None
    optimizer = torch.optim.SGD(torch.nn.Linear(2, 2).parameters(), lr=0.02)
    scheduler = trainer.create_scheduler(20, optimizer)
    rates = []
    for _ in range(20):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()

    assert max(rates) == pytest.approx(0.02)
    assert rates[-1] <= 0.02


def test_the_trainer_refuses_what_it_has_no_package_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before it loads anything: in a cluster nobody can tell sooner."""
    from services.trainer.settings import require_packages
    from tests.trainer.runs import config

    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    fields = []
    for given in ({"optim": "schedule_free_sgd"}, {"use_liger_kernel": True}):
        with pytest.raises(InvalidArgument) as caught:
            require_packages(config(**given))
        fields.append((caught.value.reason, caught.value.field))
    require_packages(config())

    assert fields == [("PACKAGE_MISSING", "config.optim"), ("PACKAGE_MISSING", "config.use_liger_kernel")]


def test_every_name_of_transformers_is_known() -> None:
    """Taken, or refused with the reason why."""
    from transformers.trainer_utils import SchedulerType
    from transformers.training_args import OptimizerNames

    assert {*OPTIMIZERS, *OF_PACKAGES, *NOT_HERE} == {name.value for name in OptimizerNames}
    assert {*SCHEDULERS, *SCHEDULERS_NOT_HERE} == {kind.value for kind in SchedulerType}
