"""Calls of the worker contract: each is repeated while the service is away and raises our own errors."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import grpc

from finetuneflow.common.v1 import artifact_pb2, worker_service_pb2_grpc
from finetuneflow.common.v1 import worker_service_pb2 as pb
from services.common.errors import Conflict, Exhausted, FineTuneFlowError, Unavailable
from services.common.statuses import from_rpc_error
from services.trainer.config import Launch, Patience

log = logging.getLogger(__name__)

CALL_SECONDS = 60.0
"""Deadline of one unary call."""

_HASHED_PER_SECOND = 20_000_000
"""Bytes that the service hashes in a second at the least, while it checks announced files before it answers."""

OPTIONS = (
    ("grpc.enable_http_proxy", 0),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # A service that was started again has another address behind the same name.
    ("grpc.dns_min_time_between_resolutions_ms", 1_000),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.max_receive_message_length", 16 * 1024 * 1024),
    ("grpc.max_send_message_length", 16 * 1024 * 1024),
)


class Superseded(FineTuneFlowError):
    """A later attempt has taken over: exit without another write."""

    code = 9
    default_reason = "SUPERSEDED"


def as_error(error: grpc.RpcError) -> FineTuneFlowError:
    """Return a failed call as one of our errors; a service that is away is Unavailable."""
    ours = from_rpc_error(error, "training or export")  # type: ignore[arg-type]  # typed for async calls; same methods
    return Superseded(ours.message) if ours.reason == "SUPERSEDED" else ours


def _passing(error: FineTuneFlowError) -> bool:
    """Whether a repeat may help: the service is away or full, lost a race, or failed without saying why."""
    return isinstance(error, Unavailable | Conflict | Exhausted) or type(error) is FineTuneFlowError


def _seconds(files: Iterable[artifact_pb2.Artifact]) -> float:
    return CALL_SECONDS + sum(file.size_bytes for file in files) / _HASHED_PER_SECOND


class Worker:
    """One attempt's line to the service. Safe for several threads.

    Args:
        launch: who we are.
        patience: how long calls are repeated.
        superseded: called, before Superseded is raised, when a later attempt has taken over.
    """

    def __init__(self, launch: Launch, patience: Patience, superseded: Callable[[], None] = lambda: None) -> None:
        self._launch = launch
        self._patience = patience
        self._superseded = superseded
        self._channel = grpc.insecure_channel(launch.address, options=OPTIONS)
        self._stub = worker_service_pb2_grpc.WorkerServiceStub(self._channel)
        self._token = ""

    @property
    def work(self) -> str:
        """Name of the work."""
        return self._launch.work

    def begin(self, waiting: Callable[[], None] = lambda: None) -> pb.BeginAttemptResponse:
        """Begin the attempt; its token opens every later call.

        Once more, it is the same attempt, with fresh URLs to what it needs.

        Args:
            waiting: called before each repeat; may raise to give up.

        Raises:
            Unavailable: the service was away for all of `Patience.begin`.
            NotFound, NotReady: the work is gone, or has ended (reason WORK_ENDED).
        """
        request = pb.BeginAttemptRequest(work=self._launch.work, pod_uid=self._launch.pod_uid)
        answer: pb.BeginAttemptResponse = self._call(
            self._stub.BeginAttempt, request, self._patience.begin, waiting, token=self._launch.token
        )
        self._token = answer.token
        return answer

    def report(self, requests: Iterator[pb.ReportRequest]) -> Any:
        """Open the report stream: an iterable of answers that can be cancelled. Raises grpc.RpcError as it breaks."""
        return self._stub.Report(requests, metadata=self._metadata())

    def grant(self, filename: str, size: int = 0, upload: str = "") -> pb.GrantUploadResponse:
        """Return where to write one object.

        Args:
            filename: see the contract.
            size: its bytes; without, it is granted whole.
            upload: one in parts that was granted before, for fresh URLs to it.
        """
        request = pb.GrantUploadRequest(work=self.work, filename=filename, size_bytes=size, upload=upload)
        answer: pb.GrantUploadResponse = self._call(self._stub.GrantUpload, request, self._patience.call)
        return answer

    def complete_checkpoint(self, checkpoint: pb.Checkpoint) -> None:
        """Record a checkpoint whose files are all written.

        Raises:
            NotReady: with reason OBJECT_MISMATCH when a file is not stored as announced.
        """
        request = pb.CompleteCheckpointRequest(work=self.work, checkpoint=checkpoint)
        self._call(self._stub.CompleteCheckpoint, request, self._patience.call, seconds=_seconds(checkpoint.files))

    def finish(self, request: pb.FinishAttemptRequest) -> None:
        """End the work, with a result and artifacts or with an error."""
        request.work = self.work
        self._call(self._stub.FinishAttempt, request, self._patience.call, seconds=_seconds(request.artifacts))

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()

    def is_superseded(self, error: FineTuneFlowError) -> bool:
        """Whether an error means that a later attempt has taken over; if so, `superseded` has been called."""
        if isinstance(error, Superseded):
            self._superseded()
            return True
        return False

    def _metadata(self, token: str = "") -> tuple[tuple[str, str], ...]:
        return (("authorization", f"Bearer {token or self._token}"),)

    def _call(
        self,
        method: Callable[..., Any],
        request: Any,
        patience: float,
        waiting: Callable[[], None] = lambda: None,
        seconds: float = CALL_SECONDS,
        token: str = "",
    ) -> Any:
        end = time.monotonic() + patience
        repeat = 0
        while True:
            try:
                return method(request, timeout=seconds, metadata=self._metadata(token))
            except grpc.RpcError as rpc_error:
                error = as_error(rpc_error)
                pause = self._patience.pause(repeat)
                if self.is_superseded(error) or not _passing(error) or time.monotonic() + pause > end:
                    raise error from rpc_error
                if repeat == 0:
                    log.warning("A call failed (%s); repeating for up to %.0f s.", error.reason, patience)
                waiting()
                time.sleep(pause)
                repeat += 1


class Nobody(Worker):
    """The line of a process that talks to no service."""

    def __init__(self) -> None:
        """Connect to nothing."""
