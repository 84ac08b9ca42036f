"""Numbers of a training that outlive its process: they are saved with every checkpoint and read back on resume.

The libraries' own totals begin at 0 when a training is resumed; these do not.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from finetuneflow.common.v1 import worker_service_pb2 as pb
from services.common.errors import NotReady

FILENAME = "ftf_state.json"
MOST_POINTS = 400
"""Evaluations that a result lists: it is part of a document, which holds 1 MiB."""


@dataclass
class Window:
    """Means over the steps since the last report, weighted by supervised tokens.

    A window of one step gives that step's values to the last digit.
    """

    weight: float = 0.0
    steps: int = 0
    seconds: float = 0.0
    tokens: float = 0.0
    means: dict[str, float] = field(default_factory=dict)

    def add(self, values: Mapping[str, float], weight: float, seconds: float, tokens: float) -> None:
        """Take one step.

        Args:
            values: means over the step's supervised tokens.
            weight: how many those are, over 0.
            seconds: how long the step took.
            tokens: tokens that went in, supervised or not.
        """
        self.weight += weight
        self.steps += 1
        self.seconds += seconds
        self.tokens += tokens
        for name, value in values.items():
            mean = self.means.get(name, 0.0)
            self.means[name] = mean + (value - mean) * (weight / self.weight)

    def values(self) -> dict[str, float]:
        """Return the means, with step_seconds and tokens_per_second."""
        speed = self.tokens / self.seconds if self.seconds > 0 else 0.0
        return {**self.means, "step_seconds": self.seconds / max(self.steps, 1), "tokens_per_second": speed}


@dataclass
class Totals:
    """What a training has come to so far, over all attempts.

    Args:
        losses: loss of step 1, 2, 3, …: mean per supervised token, in nats.
        train_seconds: wall time of training, less what was lost with attempts between checkpoint and end.
        platform_seconds: of these, what our callbacks took, and processor time of our report and upload threads.
        num_tokens: tokens that went in, padding not counted.
        peak_memory_bytes: most memory used.
        disk_bytes: most that checkpoints took in the trainer's folder.
        window: steps not yet reported.
        evaluations: those made while training, in order: `step`, eval_loss and eval_mean_token_accuracy of each.
    """

    losses: list[float] = field(default_factory=list)
    train_seconds: float = 0.0
    platform_seconds: float = 0.0
    num_tokens: float = 0.0
    peak_memory_bytes: int = 0
    disk_bytes: int = 0
    window: Window = field(default_factory=Window)
    evaluations: list[dict[str, float]] = field(default_factory=list)

    @property
    def steps(self) -> int:
        """Optimizer steps done."""
        return len(self.losses)

    def last_tenth(self) -> float:
        """Return the mean loss over the last tenth of the steps, of one at least; 0 before the first."""
        last = self.losses[-max(len(self.losses) // 10, 1) :]
        return sum(last) / len(last) if last else 0.0

    def taken_over(self) -> Totals:
        """Return what another run makes of it that goes on from here: its time and its best evaluation are its own."""
        here = [found for found in self.evaluations if found["step"] == self.steps]
        return dataclasses.replace(
            self, train_seconds=0.0, platform_seconds=0.0, peak_memory_bytes=0, window=Window(), evaluations=here
        )

    def points(self, kept_step: int) -> list[pb.MetricPoint]:
        """Return the evaluations as messages, of more than 400 so many, evenly spread.

        Args:
            kept_step: step whose evaluation is among them, as are the first and the last.
        """
        last = len(self.evaluations) - 1
        wanted = set(range(last + 1))
        if last >= MOST_POINTS:
            kept = {n for n, found in enumerate(self.evaluations) if found["step"] == kept_step}
            wanted = {round(n * last / (MOST_POINTS - 2)) for n in range(MOST_POINTS - 1)} | kept
        return [
            pb.MetricPoint(step=int(found["step"]), values={n: v for n, v in found.items() if n != "step"})
            for found in (self.evaluations[n] for n in sorted(wanted))
        ]

    def write(self, folder: Path) -> None:
        """Write them into a checkpoint's folder."""
        (folder / FILENAME).write_text(json.dumps(dataclasses.asdict(self)), encoding="utf-8")


def read_totals(folder: Path) -> Totals:
    """Read the totals of a checkpoint's folder.

    Raises:
        NotReady: they are missing or not as `write` left them.
    """
    try:
        fields = json.loads((folder / FILENAME).read_text(encoding="utf-8"))
        return Totals(**{**fields, "window": Window(**fields["window"])})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise NotReady(f"The checkpoint has no readable {FILENAME}. Train again.", reason="HASH_MISMATCH") from error
