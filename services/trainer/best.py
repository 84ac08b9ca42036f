"""Which evaluation of a training was the best, and how many since brought nothing. Pure.

Counted as transformers does: Trainer's best_metric and EarlyStoppingCallback. It is worked out from all evaluations at
once, so that a resumed training comes to the same.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Rule:
    """What makes an evaluation the best, and when there were enough.

    Args:
        metric: the value that decides: "eval_loss".
        greater: whether more of it is better.
        patience: evaluations in a row without an improvement that end the training; 0 for never.
        threshold: what an improvement is at least, not reached itself.
    """

    metric: str
    greater: bool = False
    patience: int = 0
    threshold: float = 0.0

    def judge(self, evaluations: Sequence[Mapping[str, float]]) -> tuple[int, int]:
        """Return the step of the best evaluation, 0 for none, and how many in a row came to no improvement."""
        best, best_step, stale = -math.inf if self.greater else math.inf, 0, 0
        for number, found in enumerate(evaluations):
            value = found[self.metric]
            better = value > best if self.greater else value < best
            stale = 0 if number == 0 or (better and abs(value - best) > self.threshold) else stale + 1
            if better:
                best, best_step = value, int(found["step"])
        return best_step, stale

    def exhausted(self, evaluations: Sequence[Mapping[str, float]]) -> bool:
        """Whether there were enough without an improvement."""
        return bool(self.patience) and self.judge(evaluations)[1] >= self.patience
