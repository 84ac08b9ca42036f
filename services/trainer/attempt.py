"""One attempt at a piece of work: what every part of it may need."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from finetuneflow.common.v1 import worker_service_pb2 as pb
from services.trainer.config import Patience
from services.trainer.reporter import Orders, Reporter
from services.trainer.worker import Worker


@dataclass(frozen=True)
class Attempt:
    """An attempt that has begun.

    Args:
        number: 1, 2, 3, …
        folder: its own scratch folder.
        worker, reporter, orders: its line to the service.
        patience: how long it waits for what.
        checkpoint: the newest complete one, or None.
    """

    number: int
    folder: Path
    worker: Worker
    reporter: Reporter
    orders: Orders
    patience: Patience
    checkpoint: pb.Checkpoint | None

    def phase(self, name: str, done: int = 0, total: int = 0, unit: str = "") -> None:
        """Report what is being done and how far it is."""
        self.reporter.phase(name, done, total, unit)
