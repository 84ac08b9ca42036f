"""What the processes of one training say to each other, apart from the gradients.

Rank 0 leads: it alone talks to the service. Everything else goes over the store at which the processes met, so that it
works the same beside gloo and NCCL, holds up no GPU, and still works when a collective has broken off.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any, TypeVar

from google.rpc import status_pb2

from services.common.errors import FineTuneFlowError
from services.common.statuses import from_status, to_status
from services.trainer.config import EXIT_RETRY
from services.trainer.failures import explain
from services.trainer.reporter import Stopped, Terminated

log = logging.getLogger(__name__)

T = TypeVar("T")


class Elsewhere(Exception):
    """The team's work is over: the leader knows why, says so to the service, and tells the exit code."""


class Team:
    """The processes of one training. By itself: a training in one process."""

    rank = 0
    size = 1
    local = 0
    report: Callable[[FineTuneFlowError], int] = staticmethod(lambda error: EXIT_RETRY)
    """Says to the service that the work failed and returns the exit code; the leader's, once it has begun."""

    @property
    def leads(self) -> bool:
        """Whether this process talks to the service."""
        return self.rank == 0

    def share(self, data: bytes = b"") -> bytes:
        """Return, in every process, what the leader gave."""
        return data

    def each(self, action: Callable[[], T]) -> list[T]:
        """Do something in every process and return what each came to, by rank. Every process waits for all others.

        Args:
            action: what to do; its result is anything that JSON can hold.

        Raises:
            Stopped, Terminated, FineTuneFlowError: in the leader, what was raised in whichever process.
            Elsewhere: in every other process.
        """
        return [action()]

    def on_node(self, action: Callable[[], T]) -> T:
        """Do something once on each node and return, in every process, what came of it on its own node."""
        return self.each(action)[0]

    def decide(self, decision: int) -> int:
        """Return, in every process, the leader's decision. For every step: it costs the leader 0.03 ms."""
        return decision

    def collect(self, data: bytes) -> list[bytes]:
        """Return, in the leader, what every process gave, by rank; nothing in the others."""
        return [data]

    def fail(self, error: FineTuneFlowError) -> None:
        """Tell the leader why this process ends. Only the first word counts."""

    def failure(self, seconds: float) -> FineTuneFlowError | None:
        """Return the error that a process told of; wait for one so long."""
        return None

    def end(self, code: int) -> None:
        """Tell the other processes how the work ended."""

    def let_go(self) -> None:
        """Go on without the others: what is left is the leader's work alone, and they may end as they like."""

    def ended(self, seconds: float) -> int | None:
        """Return the exit code that the leader told, waiting for it so long; None if it told none."""
        return None


def pack(action: Callable[[], Any]) -> tuple[str, BaseException | None]:
    """Do something; return its result or what it raised as JSON, and what it raised."""
    try:
        return json.dumps({"result": action()}), None
    except Stopped as stopped:
        return '{"stopped": true}', stopped
    except Terminated as terminated:
        return '{"terminated": true}', terminated
    except Exception as error:
        return json.dumps({"error": write_error(explain(error))}), error


def unpack(texts: list[str], own: BaseException | None, leads: bool) -> list[Any]:
    """Return every process's result, or raise what `Team.each` says."""
    parts = [json.loads(text) for text in texts]
    if all("result" in part for part in parts):
        return [part["result"] for part in parts]
    if not leads:
        if own is not None and not isinstance(own, Stopped | Terminated):
            log.error("%s", own)
        raise Elsewhere
    if own is not None:
        raise own
    errors = [read_error(part["error"]) for part in parts if "error" in part]
    if errors:
        raise errors[0]
    raise Stopped if any("stopped" in part for part in parts) else Terminated


def write_error(error: FineTuneFlowError) -> str:
    """Return an error as text for the store."""
    data: bytes = to_status(error).SerializeToString()
    return data.hex()


def read_error(text: str) -> FineTuneFlowError:
    """Return the error that a text of `write_error` is."""
    return from_status(status_pb2.Status.FromString(bytes.fromhex(text)))
