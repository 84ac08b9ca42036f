"""WorkerService from memory, on a real gRPC server: attempts, fencing, acknowledgements, grants into a folder.

The server runs in a thread with a loop of its own, so that a test may run the trainer in its own thread or as a
process.
"""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from types import TracebackType
from typing import Any

import grpc
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from finetuneflow.common.v1 import artifact_pb2, worker_service_pb2_grpc
from finetuneflow.common.v1 import worker_service_pb2 as pb
from services.common.jobwork.host import granted
from services.common.objects.port import Objects

LAUNCH_TOKEN = "launch-token-for-tests"


class WorkerHost(worker_service_pb2_grpc.WorkerServiceServicer):
    """One piece of work. What was called stands in its attributes.

    Args:
        folder: where granted objects go, unless there is a store for them.
        spec: what BeginAttempt answers.
        work: name of the work.
        objects: a store whose URLs are granted instead.
    """

    def __init__(
        self, folder: Path, spec: Message, work: str = "projects/p/runs/r", objects: Objects | None = None
    ) -> None:
        self.folder = folder
        self.objects = objects
        self.spec = spec
        self.work = work
        self.pods: list[str] = []
        self.reports: list[pb.Report] = []
        self.batches: list[int] = []
        self.repeated = 0
        self.checkpoints: list[pb.Checkpoint] = []
        self.finished: list[pb.FinishAttemptRequest] = []
        self.calls: list[str] = []
        self.ended = False
        self.drop_before_ack = 0
        self.silent = False
        self.failures: list[grpc.StatusCode] = []
        self._commands: list[int] = []
        self._port = 0
        self._loop = asyncio.new_event_loop()
        self._server: grpc.aio.Server | None = None
        self._thread = threading.Thread(target=self._loop.run_forever, name="worker-host", daemon=True)

    # What a test does with it.

    def __enter__(self) -> WorkerHost:
        self._thread.start()
        self.come_back()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.go_away()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def address(self) -> str:
        """host:port"""
        return f"127.0.0.1:{self._port}"

    def go_away(self) -> None:
        """Stop listening and break every connection."""
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(30)

    def come_back(self) -> None:
        """Listen again, at the same address."""
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(30)

    def command(self, command: int) -> None:
        """Send a command with the next answer on the report stream."""
        self._commands.append(command)

    def supersede(self) -> None:
        """Let another process begin the next attempt."""
        self.pods.append("another-pod")

    @property
    def last_seq(self) -> int:
        """Highest seq stored."""
        return self.reports[-1].seq if self.reports else 0

    def curve(self, name: str = "loss") -> list[tuple[int, int, float]]:
        """Every stored value of a metric, as (attempt, step, value)."""
        points = [(r.attempt, r.metrics) for r in self.reports if r.HasField("metrics")]
        return [(attempt, p.step, p.values[name]) for attempt, p in points if name in p.values]

    def phases(self) -> list[str]:
        """Names of the phases reported, each once per change."""
        names = [r.phase.name for r in self.reports if r.HasField("phase")]
        return [n for i, n in enumerate(names) if i == 0 or names[i - 1] != n]

    def lines(self) -> list[str]:
        """Log lines reported."""
        return [r.log.text for r in self.reports if r.HasField("log")]

    def artifact(self, filename: str) -> Path:
        """Path of an artifact that the last FinishAttempt named."""
        key = next(a.key for a in self.finished[-1].artifacts if a.filename == filename)
        return self.folder / key

    # The service.

    async def _start(self) -> None:
        self._server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        worker_service_pb2_grpc.add_WorkerServiceServicer_to_server(self, self._server)
        self._port = self._server.add_insecure_port(f"127.0.0.1:{self._port}")
        await self._server.start()

    async def _stop(self) -> None:
        if self._server is not None:
            await self._server.stop(None)
            self._server = None

    async def _check(self, context: Any, name: str) -> int:
        self.calls.append(name)
        if self.failures and name != "Report":
            await context.abort(self.failures.pop(0), "It fails this time.")
        token = dict(context.invocation_metadata()).get("authorization", "").removeprefix("Bearer ")
        attempt = next((n for n in range(1, len(self.pods) + 1) if token == attempt_token(n)), 0)
        if not attempt:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "This is no attempt's token.")
        if attempt != len(self.pods):
            await refuse(context, 9, "SUPERSEDED", "A later attempt has taken over.")
        return attempt

    async def BeginAttempt(self, request: pb.BeginAttemptRequest, context: Any) -> pb.BeginAttemptResponse:
        """Start the next attempt, or return the one that this pod has."""
        self.calls.append("BeginAttempt")
        if dict(context.invocation_metadata()).get("authorization") != f"Bearer {LAUNCH_TOKEN}":
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "This is not the launch token.")
        if self.ended:
            await refuse(context, 9, "WORK_ENDED", "The run has ended.")
        if not self.pods or self.pods[-1] != request.pod_uid:
            self.pods.append(request.pod_uid)
        attempt = len(self.pods)
        answer = pb.BeginAttemptResponse(attempt=attempt, last_seq=self.last_seq, token=attempt_token(attempt))
        answer.spec.Pack(self.spec)
        best = next((c for c in reversed(self.checkpoints) if c.best), None)
        if self.checkpoints:
            answer.checkpoint.CopyFrom(self._readable(self.checkpoints[-1]))
        if best and best is not self.checkpoints[-1]:
            answer.best_checkpoint.CopyFrom(self._readable(best))
        return answer

    def _readable(self, checkpoint: pb.Checkpoint) -> pb.Checkpoint:
        found = pb.Checkpoint()
        found.CopyFrom(checkpoint)
        found.urls.extend((self.folder / f.key).as_uri() for f in checkpoint.files)
        return found

    async def Report(
        self, request_iterator: AsyncIterator[pb.ReportRequest], context: Any
    ) -> AsyncIterator[pb.ReportResponse]:
        """Store what is new, answer with what is stored and the next command."""
        async for request in request_iterator:
            attempt = await self._check(context, "Report")
            while self.silent:  # noqa: ASYNC110  # a plain attribute that the test's thread sets
                await asyncio.sleep(0.02)
            self.batches.append(len(request.reports))
            for report in request.reports:
                self._store(report, attempt)
            if self.drop_before_ack and request.reports:
                self.drop_before_ack -= 1
                await context.abort(grpc.StatusCode.UNAVAILABLE, "The connection was dropped.")
            command = self._commands.pop(0) if self._commands else pb.COMMAND_UNSPECIFIED
            yield pb.ReportResponse(ack_seq=self.last_seq, command=command)

    def _store(self, report: pb.Report, attempt: int) -> None:
        if report.seq <= self.last_seq:
            self.repeated += 1
            return
        assert report.seq == self.last_seq + 1, f"gap: {report.seq} after {self.last_seq}"
        report.attempt = attempt
        self.reports.append(report)

    async def GrantUpload(self, request: pb.GrantUploadRequest, context: Any) -> pb.GrantUploadResponse:
        """Grant a path below the folder, or what the store grants."""
        attempt = await self._check(context, "GrantUpload")
        key = f"runs/uid/attempt-{attempt}/{request.filename}"
        if self.objects:
            return await granted(self.objects, key, request)
        (self.folder / key).parent.mkdir(parents=True, exist_ok=True)
        return pb.GrantUploadResponse(url=(self.folder / key).as_uri(), key=key)

    async def CompleteCheckpoint(
        self, request: pb.CompleteCheckpointRequest, context: Any
    ) -> pb.CompleteCheckpointResponse:
        """Record a checkpoint whose files are as announced."""
        attempt = await self._check(context, "CompleteCheckpoint")
        await self._verify(request.checkpoint.files, context)
        request.checkpoint.attempt = attempt
        self.checkpoints.append(request.checkpoint)
        return pb.CompleteCheckpointResponse()

    async def FinishAttempt(self, request: pb.FinishAttemptRequest, context: Any) -> pb.FinishAttemptResponse:
        """End the work, if its files are as announced."""
        await self._check(context, "FinishAttempt")
        await self._verify(request.artifacts, context)
        self.finished.append(request)
        return pb.FinishAttemptResponse()

    async def _verify(self, files: Any, context: Any) -> None:
        for file in files:
            path = self.folder / file.key
            data = path.read_bytes() if path.exists() else b""
            if not matches(file, data):
                await refuse(context, 9, "OBJECT_MISMATCH", f"{file.filename} is not stored as announced.")


def attempt_token(attempt: int) -> str:
    """Token of an attempt."""
    return f"token-of-attempt-{attempt}"


def matches(file: artifact_pb2.Artifact, data: bytes) -> bool:
    """Whether bytes are those that an artifact announces."""
    return len(data) == file.size_bytes and hashlib.sha256(data).hexdigest() == file.sha256


async def refuse(context: Any, code: int, reason: str, message: str) -> None:
    """Abort a call with a status that carries a reason."""
    status = status_pb2.Status(code=code, message=message)
    status.details.add().Pack(error_details_pb2.ErrorInfo(reason=reason, domain="finetuneflow"))
    await context.abort_with_status(rpc_status.to_status(status))
