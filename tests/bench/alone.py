"""A training of the trainer's own code with nobody to tell: no service, and checkpoints that go at once."""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from finetuneflow.training.v1 import config_pb2
from services.common.chat.encode import Encoded
from services.common.chat.rows import Row
from services.trainer.model import Source, local_folder
from services.trainer.reporter import Orders
from services.trainer.train import Training
from services.trainer.uploads import NoUploads, Saved


class Nobody:
    """Takes every report."""

    def phase(self, *facts: Any) -> None:
        """Take one."""

    def metrics(self, *facts: Any) -> None:
        """Take one."""

    def cpu_seconds(self) -> float:
        """Return nothing."""
        return 0.0


class Nowhere(NoUploads):
    """Takes every checkpoint away."""

    def submit(self, saved: Saved) -> None:
        """See CheckpointUploads."""
        shutil.rmtree(saved.folder)


class Steps(TrainerCallback):
    """Times the steps of a training, those to warm up apart."""

    def __init__(self, warm: int = 1) -> None:
        self._warm = warm
        self.seconds = 0.0

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Look at the clock."""
        if state.global_step <= self._warm:
            self._began = time.perf_counter()
        else:
            self.seconds = time.perf_counter() - self._began


def alone(
    config: config_pb2.TrainingConfig,
    folder: Path,
    source: Source,
    load: Callable[[], Any],
    callbacks: Sequence[TrainerCallback] = (),
) -> Training:
    """Return a training's surroundings."""
    return Training(
        config=config,
        folder=folder,
        base_name="m",
        load_base=load,
        weights_folder=lambda: local_folder(source),
        resume=None,
        reporter=Nobody(),  # type: ignore[arg-type]  # it stands in for the line to a service
        orders=Orders(),
        uploads=Nowhere(),
        callbacks=callbacks,
    )


def examples(lengths: Sequence[int], vocabulary: int) -> list[Encoded]:
    """Return examples of random tokens, all of which are trained on but the first."""
    draw = random.Random(0)
    found = []
    for number, length in enumerate(lengths):
        ids = [draw.randrange(10, vocabulary) for _ in range(length)]
        found.append(Encoded(Row(f"e{number}", "TRAIN", ()), ids, [-100, *ids[1:]], truncated=False))
    return found
