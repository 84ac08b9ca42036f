"""A service's side of the worker contract."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from finetuneflow.common.v1 import artifact_pb2
from finetuneflow.common.v1 import worker_service_pb2 as pb
from services.common import errors
from services.common.auth import Principal, Signer, current_principal
from services.common.bus import Bus
from services.common.documents.port import Document
from services.common.errors import FineTuneFlowError, InvalidArgument, NotReady, Unavailable
from services.common.ids import parse_name
from services.common.jobs.port import Resources as Wanted
from services.common.jobwork import checkpoints, state
from services.common.jobwork.reports import ReportStore
from services.common.objects.port import Objects
from services.common.protoform import artifact_to_document
from services.common.resources import Resources, add_event
from services.common.statuses import from_status
from services.common.work import ended, finish

PERMANENT = frozenset({3, 9})
"""google.rpc codes that no retry helps: INVALID_ARGUMENT and FAILED_PRECONDITION."""

_TELL_SECONDS = 1.0


@dataclass(frozen=True)
class Kind:
    """What differs between services.

    Args:
        name: "run" or "export".
        pattern: form of the resource names.
        args: the trainer's arguments.
        ended_event: event type when the work has ended, in whichever way; "" for none.
        ready_event: event type when it has succeeded; "" for none.
        result: message type of the result.
        spec: makes the message that tells the trainer what to do.
        keep: checkpoints kept of a document.
        resources: what the Jobs of a document ask for.
    """

    name: str
    pattern: str
    args: tuple[str, ...]
    ended_event: str
    ready_event: str
    result: type[Message]
    spec: Callable[[Document], Awaitable[Message]]
    keep: Callable[[Document], int]
    resources: Callable[[Document], Wanted]

    def event(self, doc: Document) -> str:
        """Return the event of work that has just ended."""
        return self.ready_event if self.ready_event and doc["work"]["state"] == "SUCCEEDED" else self.ended_event

    def prefix(self, doc: Document) -> str:
        """Return what the keys of all its objects begin with."""
        return f"{self.name}s/{doc['uid']}/"

    def log_key(self, uid: str, launch: int) -> str:
        """Return the key of the log of one launch."""
        return f"{self.name}s/{uid}/logs/{launch:04d}.log"


class Host:
    """Answers the trainers of one kind of work; see services.common.worker.WorkerHost."""

    def __init__(
        self, kind: Kind, resources: Resources, reports: ReportStore, objects: Objects, bus: Bus, signer: Signer
    ) -> None:
        self._kind = kind
        self._resources = resources
        self._reports = reports
        self._objects = objects
        self._bus = bus
        self._signer = signer
        self._told: dict[str, float] = {}
        self._newest: dict[str, pb.MetricPoint] = {}

    def owns(self, work: str) -> bool:
        """Whether a resource name is of this kind."""
        try:
            parse_name(work, self._kind.pattern)
        except InvalidArgument:
            return False
        return True

    async def begin(self, work: str, pod_uid: str) -> pb.BeginAttemptResponse:
        """Start the next attempt, or return the one that pod_uid has. A launch token says which launch it is of."""
        if not pod_uid:
            raise InvalidArgument("pod_uid is empty. Give the process an identity.", field="pod_uid")
        await self._require_start(await self._resources.get(work))
        launch, now = current_principal().attempt, self._resources.clock.now()
        doc = await self._resources.change(work, lambda d: state.begin(d, pod_uid, launch, now))
        attempt = doc["work"]["attempt"]
        doc = await self._settle(doc)
        state.check_attempt(doc, attempt)
        spec = AnyMessage()
        spec.Pack(await self._kind.spec(doc))
        token = self._signer.sign(Principal(work, "attempt", work, attempt))
        answer = pb.BeginAttemptResponse(attempt=attempt, spec=spec, token=token)
        answer.last_seq = await self._reports.last_seq(doc, attempt)
        await checkpoints.tell(self._objects, doc, answer)
        return answer

    async def _require_start(self, doc: Document) -> None:
        """End work that is to begin from what is gone; raises NotReady (WORK_ENDED)."""
        gone = None if ended(doc["work"]) else await checkpoints.start_is_gone(self._objects, doc)
        if gone is None:
            return
        now, error = self._resources.clock.now(), gone

        def fail(current: Document) -> None:
            if not ended(current["work"]):
                finish(current["work"], "FAILED", now, error)
                add_event(current, self._kind.event(current), now)

        await self._resources.change(doc["_id"], fail)
        raise NotReady(gone.message, reason="WORK_ENDED")

    async def _settle(self, doc: Document) -> Document:
        """Fix where the attempt's reports begin: after the last of the earlier ones that was acknowledged."""
        if all(state.settled(entry) for entry in doc["attempts"]):
            return doc
        earlier = [entry["attempt"] for entry in doc["attempts"][:-1]]
        stored = {attempt: await self._reports.newest(doc["uid"], attempt) for attempt in earlier}
        return await self._resources.change(doc["_id"], lambda d: state.settle(d, stored))

    async def report(self, work: str, attempt: int, reports: Sequence[pb.Report]) -> pb.ReportResponse:
        """Store reports; return what is stored and what to do."""
        doc = await self._resources.get(work)
        state.check_attempt(doc, attempt)
        ack = await self._reports.append(doc, attempt, reports)
        if reports:
            # A later attempt may have begun meanwhile; it counts only what was stored before it looked.
            doc = await self._resources.get(work)
            state.check_attempt(doc, attempt)
        revived = state.is_unseen(doc)
        if reports or revived:
            await self._tell(doc, attempt, reports, at_once=revived)
        # One that pauses is told by SIGTERM, to save; one that still works when nothing should is cut off from that.
        over = doc["work"]["state"] in ("CANCELLING", "PAUSED")
        command = pb.COMMAND_STOP if over else pb.COMMAND_UNSPECIFIED
        return pb.ReportResponse(ack_seq=ack, command=command)

    async def _tell(self, doc: Document, attempt: int, reports: Sequence[pb.Report], *, at_once: bool) -> None:
        """Wake watchers, and bring the resource's progress up to date at most once a second."""
        # Without NATS, watchers look for themselves within a second.
        with contextlib.suppress(Unavailable):
            await self._bus.publish(live_subject(doc["uid"]), b"")
        points = [r.metrics for r in reports if r.HasField("metrics")]
        if points:
            self._newest[doc["uid"]] = points[-1]
        at_once = at_once or any(r.HasField("phase") for r in reports)
        if not at_once and time.monotonic() - self._told.get(doc["uid"], 0) < _TELL_SECONDS:
            return
        self._told[doc["uid"]] = time.monotonic()

        def tell(current: Document) -> None:
            state.check_attempt(current, attempt)
            if state.is_unseen(current):
                current["work"].update(state="RUNNING", waiting=None)
            for report in reports:
                _note(current, report)

        await self._resources.change(doc["_id"], tell)

    async def grant(self, work: str, attempt: int, request: pb.GrantUploadRequest) -> pb.GrantUploadResponse:
        """Return where to write an object."""
        doc = await self._resources.get(work)
        state.check_attempt(doc, attempt)
        filename = request.filename
        if not filename or filename.startswith("/") or ".." in filename.split("/"):
            raise InvalidArgument(f'"{filename[:200]}" is not a relative file name. Send one.', field="filename")
        key = f"{self._kind.prefix(doc)}attempt-{attempt}/{filename}"
        return await granted(self._objects, key, request)

    async def checkpoint(self, work: str, attempt: int, checkpoint: pb.Checkpoint) -> None:
        """Record a complete checkpoint and let go of the ones that are too old."""
        doc = await self._resources.get(work)
        state.check_attempt(doc, attempt)
        await self._verify(doc, attempt, checkpoint.files)
        entry = checkpoints.to_document(checkpoint, attempt, self._resources.clock.now())
        old: list[Document] = []

        def add(current: Document) -> None:
            state.check_attempt(current, attempt)
            old[:] = state.add_checkpoint(current, entry, self._kind.keep(current))

        await self._resources.change(work, add)
        for gone in old:
            for file in gone["files"]:
                await self._objects.delete(file["key"])

    async def _verify(self, doc: Document, attempt: int, files: Sequence[artifact_pb2.Artifact]) -> None:
        for file in files:
            if not file.key.startswith(f"{self._kind.prefix(doc)}attempt-{attempt}/"):
                raise InvalidArgument(f"{file.filename} is not one of this attempt's objects.", field="key")
            size = await self._objects.size(file.key)
            stored = await self._objects.digest(file.key) if size == file.size_bytes else None
            if stored is None or stored.sha256 != file.sha256:
                raise NotReady(
                    f"{file.filename} is not stored as announced. Upload it again.", reason="OBJECT_MISMATCH"
                )

    async def finish(self, work: str, attempt: int, request: pb.FinishAttemptRequest) -> None:
        """End the work, or for an error that a retry may cure only note it."""
        doc = await self._resources.get(work)
        if ended(doc["work"]) and doc["work"]["attempt"] == attempt:
            return
        state.check_attempt(doc, attempt)
        error = from_status(request.error) if request.HasField("error") else None
        if error and error.code not in PERMANENT:

            def note(current: Document) -> None:
                state.check_attempt(current, attempt)
                current["last_error"] = errors.to_document(error)

            await self._resources.change(work, note)
            return
        if error and error.reason == "LOSS_DIVERGED" and (step := state.good_step(doc)):
            # Part of the remedy, which the trainer's message ends with.
            error.message += (
                f" Go on from {work}/checkpoints/{step}, the newest from before the loss rose, or begin anew."
            )
            error.metadata = {**error.metadata, "checkpoint": str(step)}
        await self._verify(doc, attempt, request.artifacts)
        result = self._kind.result()
        if not error and not request.result.Unpack(result):
            raise InvalidArgument(f"The result is not a {result.DESCRIPTOR.full_name}.", field="result")
        now = self._resources.clock.now()
        newest = self._newest.pop(doc["uid"], None)

        def end(current: Document) -> None:
            state.check_attempt(current, attempt)
            cancelled = current["work"]["state"] == "CANCELLING"
            if not error and not cancelled:
                current["result"] = MessageToDict(result, preserving_proto_field_name=True)
                current["artifacts"] = [artifact_to_document(a) for a in request.artifacts]
            finish(current["work"], _final(cancelled, error), now, None if cancelled else error)
            add_event(current, self._kind.event(current), now)
            if newest:
                _note(current, pb.Report(metrics=newest))

        await self._resources.change(work, end)
        self._told.pop(doc["uid"], None)


async def granted(objects: Objects, key: str, request: pb.GrantUploadRequest) -> pb.GrantUploadResponse:
    """Return where to write an object: by one URL, or in parts where it is larger than the store takes at once."""
    parts = await objects.grant_parts(key, request.size_bytes, request.upload)
    if parts is None:
        return pb.GrantUploadResponse(url=await objects.grant(key, "write"), key=key)
    return pb.GrantUploadResponse(
        key=key,
        upload=parts.upload,
        part_bytes=parts.part_bytes,
        part_urls=parts.urls,
        complete_url=parts.complete,
        abort_url=parts.abort,
    )


def _final(cancelled: bool, error: FineTuneFlowError | None) -> str:
    if cancelled:
        return "CANCELLED"
    return "FAILED" if error else "SUCCEEDED"


def _note(doc: Document, report: pb.Report) -> None:
    if report.HasField("metrics"):
        point = report.metrics
        if any(name in point.values for name in ("loss", "step_seconds")):
            total = point.total_steps
            doc["work"]["progress"] = {"phase": "train", "done": point.step, "total": total, "unit": "steps"}
        _note_metrics(doc, point)
    elif report.HasField("phase"):
        phase = report.phase
        doc["work"]["progress"] = {"phase": phase.name, "done": phase.done, "total": phase.total, "unit": phase.unit}


def _note_metrics(doc: Document, point: pb.MetricPoint) -> None:
    doc["last_metrics"] = MessageToDict(point, preserving_proto_field_name=True)


def live_subject(uid: str) -> str:
    """Return the subject that is told when a piece of work has new reports."""
    return f"ftf.live.{uid}"
