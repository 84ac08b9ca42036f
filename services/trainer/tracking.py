"""Experiment trackers beside the run's own reports: TRL's `report_to`."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from transformers.integrations.integration_utils import TensorBoardCallback

from finetuneflow.training.v1 import config_pb2
from services.common import trackers

TENSORBOARD = "tensorboard"


def require_trackers(config: config_pb2.TrainingConfig, environment: Mapping[str, str]) -> None:
    """Refuse trackers that cannot be reported to from here. Raises as trackers.require."""
    trackers.require(list(config.report_to), lambda name: importlib.util.find_spec(name) is not None, environment)


def tracking(config: config_pb2.TrainingConfig, folder: Path, losses: Sequence[float]) -> list[Events]:
    """Return the callbacks of trackers that need more than their name.

    Args:
        folder: where TensorBoard's event files go.
        losses: of the steps before this attempt, from the first.
    """
    return [Events(folder, losses)] if TENSORBOARD in config.report_to else []


class Events(TensorBoardCallback):
    """Writes TensorBoard's event files; where the training goes on from a checkpoint, with the losses before it.

    Unlike the library's it writes numbers only: no settings with paths of this machine, and not its name.
    """

    def __init__(self, folder: Path, losses: Sequence[float]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # untyped in transformers
        self._folder = folder
        self._losses = losses
        self.logging_dir = str(folder)

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """See TrainerCallback."""
        if not state.is_world_process_zero:
            return
        self._init_summary_writer(args)  # type: ignore[no-untyped-call]  # untyped in transformers
        self._add()

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """See TrainerCallback."""
        super().on_train_end(args, state, control, **kwargs)  # type: ignore[no-untyped-call]  # untyped in transformers
        self._name()

    def complete(self) -> None:
        """Write the losses alone, of a training that had nothing left to train; otherwise do nothing."""
        if self.tb_writer is None and not any(self._folder.glob("*tfevents*")):
            self.tb_writer = self._SummaryWriter(log_dir=self.logging_dir)
            self._add()
            self.tb_writer.close()
            self._name()

    def _add(self) -> None:
        for step, loss in enumerate(self._losses, 1):
            self.tb_writer.add_scalar("train/loss", loss, step)

    def _name(self) -> None:
        for number, path in enumerate(sorted(self._folder.glob("*tfevents*"))):
            path.rename(self._folder / f"events.out.tfevents.{number:010d}")
