"""One attempt at a piece of work: what every part of it may need."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from google.protobuf.message import Message

from finetuneflow.common.v1 import worker_service_pb2 as pb
from services.trainer.config import Patience
from services.trainer.reporter import Orders, Reporter
from services.trainer.team import Team
from services.trainer.worker import Superseded, Worker

T = TypeVar("T")


@dataclass(frozen=True)
class Attempt:
    """An attempt that has begun.

    Args:
        number: 1, 2, 3, …
        folder: its own scratch folder.
        worker, reporter, orders: its line to the service.
        patience: how long it waits for what.
        checkpoint: the newest complete one, or None.
        team: the processes that do it together.
        best: the best complete checkpoint, where that is not the newest, or None.
    """

    number: int
    folder: Path
    worker: Worker
    reporter: Reporter
    orders: Orders
    patience: Patience
    checkpoint: pb.Checkpoint | None
    team: Team = field(default_factory=Team)
    best: pb.Checkpoint | None = None

    def phase(self, name: str, done: int = 0, total: int = 0, unit: str = "") -> None:
        """Report what is being done and how far it is."""
        self.reporter.phase(name, done, total, unit)

    def renewed(self, spec: Message) -> Any:
        """Return the spec again, of the same attempt, with granted URLs that are good for another while."""
        fresh = type(spec)()
        self.begun_again().spec.Unpack(fresh)
        return fresh

    def begun_again(self) -> pb.BeginAttemptResponse:
        """Return what BeginAttempt says now of the same attempt.

        Raises:
            Superseded: a later attempt has taken over. Asked first, since beginning would take the work back.
        """
        self.worker.grant("renewal")
        begun = self.worker.begin()
        if begun.attempt != self.number:
            raise Superseded("A later attempt has taken over.")
        return begun

    def renewal(self, again: Callable[[], T]) -> Callable[[], T] | None:
        """Return a way to a fresh URL, or to a spec with such, in the process that may ask for one."""
        return again if self.team.leads else None
