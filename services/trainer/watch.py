"""Who of a team is alive."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import torch.distributed as dist

from services.common.errors import FineTuneFlowError, Unavailable
from services.trainer.config import Patience
from services.trainer.places import Place
from services.trainer.reporter import Orders
from services.trainer.team import read_error

_BEAT = 1.0
_LEAVING = 10.0
"""Seconds that a process has to notice by itself that its team is no more."""


class Watch:
    """Sees to it that a process does not outlive its team, whatever its main thread waits for.

    Each process shows a sign of life every second. The leader looks for everybody's, the others for the leader's. The
    others hand SIGTERM on to the leader: it may have reached one node only.

    Args:
        place: which process this is.
        store: a connection for this thread alone.
        patience: how long a process may be silent.
        orders: this process's.
        lost: called, from this thread, when the process has to end: with the exit code that the leader told, or the
            error that another process told, or that it is silent.
    """

    def __init__(
        self,
        place: Place,
        store: Any,
        patience: Patience,
        orders: Orders,
        lost: Callable[[int | None, FineTuneFlowError], None],
    ) -> None:
        self._place = place
        self._store = store
        self._patience = patience
        self._orders = orders
        self._lost = lost
        self._others = [r for r in range(place.size) if r != place.rank] if place.rank == 0 else [0]
        self._seen: dict[int, tuple[bytes, float]] = {}
        self._ending = 0.0
        self._alone = False
        self._thread = threading.Thread(target=self._run, name="team", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._store.set(f"alive/{self._place.rank}", "0")
        self._thread.start()

    def let_go(self) -> None:
        """Go on showing signs of life, and mind nobody else's."""
        self._alone = True

    def _run(self) -> None:
        beat = 0
        while True:
            beat += 1
            try:
                self._look(beat)
            except dist.DistError:
                # The main thread may just be leaving for the same reason.
                time.sleep(_LEAVING)
                if not self._alone:
                    self._lost(None, _silent("The first node of the training"))
                return
            time.sleep(_BEAT)

    def _look(self, beat: int) -> None:
        store = self._store
        store.set(f"alive/{self._place.rank}", str(beat))
        if self._place.rank and self._orders.terminating:
            store.set("terminate", "1")
        elif not self._place.rank and store.check(["terminate"]):
            self._orders.terminate()
        if self._alone:
            return
        now = time.monotonic()
        for rank in self._others:
            key = f"alive/{rank}"
            value = store.get(key) if store.check([key]) else b""
            before, since = self._seen.get(rank, (None, now))
            self._seen[rank] = (value, now if value != before else since)
            if now - self._seen[rank][1] > self._patience.silent:
                self._lost(None, _silent(f"Process {rank} of the training"))
        self._leave(now)

    def _leave(self, now: float) -> None:
        """End this process if the team has ended and the main thread does not notice."""
        code = int(self._store.get("code")) if self._place.rank and self._store.check(["code"]) else None
        told = self._store.get("failure") if self._store.check(["failure"]) else b""
        if code is None and not told:
            return
        self._ending = self._ending or now
        if now - self._ending > _LEAVING:
            self._lost(code, read_error(told.decode()) if told else _silent("A process of the training"))


def _silent(who: str) -> FineTuneFlowError:
    return Unavailable(f"{who} does not answer any more. The run goes on from its last checkpoint.")
