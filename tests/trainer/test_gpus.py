"""Which GPU a process of several takes, as far as can be seen without one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from finetuneflow.training.v1 import run_pb2
from services.trainer import training_job
from services.trainer.attempt import Attempt
from services.trainer.config import Patience
from services.trainer.reporter import Orders, Silence
from services.trainer.team import Team
from services.trainer.worker import Nobody


class Second(Team):
    """The second process of a node."""

    rank, size = 1, 2
    local = 1


def attempt(tmp_path: Path, team: Team) -> Attempt:
    """An attempt of one of several processes."""
    return Attempt(1, tmp_path, Nobody(), Silence(), Orders(), Patience(), None, team)


@pytest.mark.parametrize(("there", "taken"), [(True, [("gpu", 1), ("load",)]), (False, [("load",)])])
def test_a_process_takes_its_own_gpu_before_it_loads_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool, taken: list[Any]
) -> None:
    """Weights in 4 bits are made on the current GPU as they are loaded: they would all be on the first."""
    seen: list[Any] = []

    def load(*_: object) -> None:
        seen.append(("load",))
        raise InterruptedError

    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: seen.append(("gpu", device)))
    monkeypatch.setattr(training_job, "_fetch", lambda *_: [])
    monkeypatch.setattr(training_job, "_load", load)
    with pytest.raises(InterruptedError):
        training_job.take_part(attempt(tmp_path, Second()), run_pb2.TrainSpec(model_location="/models/tiny"))

    assert seen == taken
