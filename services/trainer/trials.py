"""Evaluations while a training goes on: made when they are due, kept in the totals, with the weights of the best."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from finetuneflow.training.v1 import config_pb2
from services.common.chat.encode import Encoded, Encoder
from services.common.chat.rows import EVAL, RECALL, Row, of_split
from services.common.errors import NotReady
from services.trainer.best import Rule
from services.trainer.checkpoint import weights
from services.trainer.settings import setting
from services.trainer.team import Team
from services.trainer.totals import Totals
from services.trainer.trialscores import Score, require_both


def held_out(rows: Sequence[Row], encoder: Encoder, config: config_pb2.TrainingConfig) -> list[Encoded]:
    """Return what a training is evaluated on as it goes on: documents held out, or else questions kept back.

    Raises:
        NotReady: NO_EVAL_EXAMPLES, where it is to be evaluated and there is nothing.
    """
    if setting(config, "eval_steps") is None:
        return []
    found = [e for e in encoder.encode_all(of_split(rows, EVAL) or of_split(rows, RECALL)) if e.supervised]
    if not found:
        raise NotReady(
            "The dataset holds no example out that has an answer within max_length. Generate with an eval_fraction, "
            "raise max_length, or leave eval_steps out.",
            reason="NO_EVAL_EXAMPLES",
        )
    require_both(found, setting(config, "metric_for_best_model"))
    return found


class Trials:
    """The evaluations of one training.

    Args:
        config: the run's settings.
        totals: get the evaluations.
        score: evaluates what the training has come to.
        model: returns the model in training.
        team: who takes part.
        folder: of the best weights, made when there are some.
    """

    def __init__(
        self,
        config: config_pb2.TrainingConfig,
        totals: Totals,
        score: Score,
        model: Callable[[], Any],
        team: Team,
        folder: Path,
    ) -> None:
        self._totals = totals
        self._every = setting(config, "eval_steps") or 0
        self._keeps = setting(config, "load_best_model_at_end")
        self._rule = Rule(
            setting(config, "metric_for_best_model"),
            setting(config, "greater_is_better"),
            setting(config, "early_stopping_patience") or 0,
            setting(config, "early_stopping_threshold"),
        )
        self._score = score
        self._model = model
        self._team = team
        self.folder = folder

    def due(self, step: int, total: int) -> bool:
        """Whether a step is to be evaluated and is not yet."""
        wanted = bool(self._every) and (step % self._every == 0 or step >= total)
        return wanted and not self.at(step)

    def at(self, step: int) -> dict[str, float]:
        """Return what the evaluation of a step came to, empty where there was none."""
        found = next((e for e in reversed(self._totals.evaluations) if e["step"] == step), {})
        return {name: value for name, value in found.items() if name != "step"}

    def evaluate(self, step: int) -> dict[str, float]:
        """Evaluate what the training has come to at a step, and return the values.

        Raises:
            Stopped, Terminated: see go_on.
            Elsewhere: see Team.each.
        """
        values = self._score()
        self._totals.evaluations.append({"step": step, **values})
        return values

    @property
    def best_step(self) -> int:
        """Step of the best evaluation whose weights are to be kept; 0 for none."""
        return self._rule.judge(self._totals.evaluations)[0] if self._keeps else 0

    @property
    def exhausted(self) -> bool:
        """Whether there were so many evaluations without an improvement that the training ends."""
        return self._rule.exhausted(self._totals.evaluations)

    def keep(self, checkpoint: Path) -> None:
        """Keep the weights of a checkpoint's folder, which may go, as the best."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        for path in weights(checkpoint):
            try:
                os.link(path, self.folder / path.name)
            except OSError:  # another disk, or one without links
                shutil.copyfile(path, self.folder / path.name)

    def restore(self, load: Callable[[Path], None]) -> bool:
        """Bring the best weights back into the model, in every process; return whether they were there.

        Args:
            load: reads the weights of a folder into the model; called in the process that has them.
        """
        there = bool(int(self._team.share(b"1" if self.folder.is_dir() else b"0")))
        if not there:
            return False
        if self._team.leads:
            load(self.folder)
        if self._team.size > 1:
            for parameter in self._model().parameters():
                if parameter.requires_grad:
                    torch.distributed.broadcast(parameter.data, 0)
        return True
