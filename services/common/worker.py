"""The worker contract's door: one servicer for every service that has Jobs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from finetuneflow.common.v1 import worker_service_pb2 as pb
from finetuneflow.common.v1 import worker_service_pb2_grpc
from services.common.auth import Principal, current_principal
from services.common.errors import NotFound, PermissionDenied
from services.common.interceptors import Context


class WorkerHost(Protocol):
    """One service's side of the worker contract."""

    def owns(self, work: str) -> bool:
        """Whether a resource name is of this service's work."""
        ...

    async def begin(self, work: str, pod_uid: str) -> pb.BeginAttemptResponse:
        """Start the next attempt, or return the one that pod_uid has."""
        ...

    async def report(self, work: str, attempt: int, reports: Sequence[pb.Report]) -> pb.ReportResponse:
        """Store reports; return what is stored and what to do."""
        ...

    async def grant(self, work: str, attempt: int, request: pb.GrantUploadRequest) -> pb.GrantUploadResponse:
        """Return where to write an object."""
        ...

    async def checkpoint(self, work: str, attempt: int, checkpoint: pb.Checkpoint) -> None:
        """Record a complete checkpoint."""
        ...

    async def finish(self, work: str, attempt: int, request: pb.FinishAttemptRequest) -> None:
        """End the work."""
        ...


class WorkerApi(worker_service_pb2_grpc.WorkerServiceServicer):
    """Checks that a trainer speaks for its own work and attempt alone, and passes it on to the service that owns it."""

    def __init__(self, hosts: Sequence[WorkerHost]) -> None:
        self._hosts = hosts

    def _host(self, work: str) -> tuple[WorkerHost, Principal]:
        principal = current_principal()
        if principal.work != work:
            raise PermissionDenied("This token is for other work. Use the attempt's own token.")
        host = next((h for h in self._hosts if h.owns(work)), None)
        if host is None:
            raise NotFound(f"No work is called {work[:200]}.")
        return host, principal

    async def BeginAttempt(self, request: pb.BeginAttemptRequest, context: Context) -> pb.BeginAttemptResponse:
        """Start the next attempt."""
        host, _ = self._host(request.work)
        return await host.begin(request.work, request.pod_uid)

    async def Report(
        self, request_iterator: AsyncIterator[pb.ReportRequest], context: Context
    ) -> AsyncIterator[pb.ReportResponse]:
        """Answer each batch with what is stored and what to do."""
        async for request in request_iterator:
            host, principal = self._host(request.work)
            yield await host.report(request.work, principal.attempt, list(request.reports))

    async def GrantUpload(self, request: pb.GrantUploadRequest, context: Context) -> pb.GrantUploadResponse:
        """Return where to write an object."""
        host, principal = self._host(request.work)
        return await host.grant(request.work, principal.attempt, request)

    async def CompleteCheckpoint(
        self, request: pb.CompleteCheckpointRequest, context: Context
    ) -> pb.CompleteCheckpointResponse:
        """Record a checkpoint."""
        host, principal = self._host(request.work)
        await host.checkpoint(request.work, principal.attempt, request.checkpoint)
        return pb.CompleteCheckpointResponse()

    async def FinishAttempt(self, request: pb.FinishAttemptRequest, context: Context) -> pb.FinishAttemptResponse:
        """End the work."""
        host, principal = self._host(request.work)
        await host.finish(request.work, principal.attempt, request)
        return pb.FinishAttemptResponse()
