"""A team of several processes, over the store at which torchrun let them meet."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar, cast

import torch.distributed as dist
from torch.distributed import PrefixStore, TCPStore  # type: ignore[attr-defined]  # documented all the same

from services.common.errors import FineTuneFlowError, Unavailable
from services.trainer.config import Patience
from services.trainer.places import Place
from services.trainer.team import Team, pack, read_error, unpack, write_error
from services.trainer.watch import Watch

log = logging.getLogger(__name__)

T = TypeVar("T")

_PREFIX = "finetuneflow"
_LONGEST = timedelta(hours=1)
"""Longest wait for the leader's decision at a step; `Watch` ends the process long before that."""
_KEPT = 16
"""Decisions that stay in the store."""
_LOOK = 0.02


def connect(place: Place, patience: Patience) -> Any:
    """Return a connection of one's own to the group's store; a connection serves one thread at a time.

    Raises:
        Unavailable: it does not answer.
    """
    try:
        seconds = timedelta(seconds=patience.silent)
        store = TCPStore(place.master, place.port, is_master=False, wait_for_workers=False, timeout=seconds)
    except dist.DistError as error:
        raise Unavailable(
            f"The processes of the training cannot meet at {place.master}:{place.port}. They will try again."
        ) from error
    store.set_timeout(_LONGEST)
    return PrefixStore(_PREFIX, store)


class Ranks(Team):
    """One of several processes. Every process calls the same methods in the same order.

    Args:
        place: which one it is.
        store: a connection for the main thread.
        patience: how long the processes may take to come together.
    """

    def __init__(self, place: Place, store: Any, patience: Patience) -> None:
        self.rank = place.rank
        self.size = place.size
        self.local = place.local
        self._store = store
        self._patience = patience
        self._created = time.monotonic()
        self._watch: Watch | None = None
        self._round = 0
        self._step = 0

    def share(self, data: bytes = b"") -> bytes:
        """See Team."""
        key = f"share/{self._next()}"
        if self.leads:
            self._store.set(key, data)
            return data
        return self._wait(key)

    def each(self, action: Callable[[], T]) -> list[T]:
        """See Team."""
        number = self._next()
        text, own = pack(action)
        self._store.set(f"each/{number}/{self.rank}", text)
        texts = [self._wait(f"each/{number}/{rank}").decode() for rank in range(self.size)]
        return unpack(texts, own, self.leads)

    def on_node(self, action: Callable[[], T]) -> T:
        """See Team."""
        results = self.each(lambda: action() if self.local == 0 else None)
        # Only processes with another local rank have None.
        return cast(T, results[self.rank - self.local])

    def decide(self, decision: int) -> int:
        """See Team."""
        self._step += 1
        key = f"step/{self._step}"
        if not self.leads:
            return int(self._store.get(key))
        self._store.set(key, str(decision))
        # Nobody is more than a step behind: each step needs everybody's gradients.
        self._store.delete_key(f"step/{self._step - _KEPT}")
        return decision

    def collect(self, data: bytes) -> list[bytes]:
        """See Team."""
        number = self._next()
        self._store.set(f"collect/{number}/{self.rank}", data)
        if not self.leads:
            return []
        keys = [f"collect/{number}/{rank}" for rank in range(self.size)]
        found = [self._wait(key) for key in keys]
        for key in keys:
            self._store.delete_key(key)
        return found

    def fail(self, error: FineTuneFlowError) -> None:
        """See Team."""
        try:
            self._store.compare_set("failure", "", write_error(error))
        except dist.DistError:
            log.warning("The leader cannot be told.")

    def failure(self, seconds: float) -> FineTuneFlowError | None:
        """See Team."""
        text = self._look("failure", seconds)
        return read_error(text.decode()) if text else None

    def end(self, code: int) -> None:
        """See Team."""
        try:
            self._store.set("code", str(code))
        except dist.DistError:
            log.warning("The other processes cannot be told that the work has ended.")

    def watch(self, watch: Watch) -> None:
        """Be watched from now on."""
        self._watch = watch
        watch.start()

    def let_go(self) -> None:
        """See Team."""
        if self._watch is not None:
            self._watch.let_go()

    def ended(self, seconds: float) -> int | None:
        """See Team."""
        text = self._look("code", seconds)
        return int(text) if text else None

    def _next(self) -> int:
        self._round += 1
        return self._round

    def _wait(self, key: str) -> bytes:
        """Wait for a key in small pieces: signals are only handled between them. Once watched, without end."""
        while not self._store.check([key]):
            if self._watch is None and time.monotonic() > self._created + self._patience.begin:
                raise Unavailable("Not all processes of the training have come. They will try again.")
            time.sleep(_LOOK)
        value: bytes = self._store.get(key)
        return value

    def _look(self, key: str, seconds: float) -> bytes:
        end = time.monotonic() + seconds
        try:
            while not self._store.check([key]):
                if time.monotonic() > end:
                    return b""
                time.sleep(_LOOK)
            value: bytes = self._store.get(key)
            return value
        except dist.DistError:
            return b""
