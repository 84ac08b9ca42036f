"""Metrics: a run's numbers at a step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """Numbers at one optimizer step.

    Attributes:
        seq: place in the run's reports, never used twice: what a watch goes on after; 0 in the curve of an ended run.
        step: optimizer steps done since the run began; an attempt after a crash repeats those since its checkpoint.
        total_steps: optimizer steps in all; 0 when not known.
        values: by TRL's names: loss, learning_rate, grad_norm, eval_loss, …
    """

    seq: int
    step: int
    total_steps: int
    values: Mapping[str, float]

    @property
    def loss(self) -> float | None:
        """Mean loss per supervised token since the last report, in nats; None where none is told."""
        return self.values.get("loss")

    @property
    def eval_loss(self) -> float | None:
        """Mean loss on held-out examples, in nats; None where it was not measured."""
        return self.values.get("eval_loss")
