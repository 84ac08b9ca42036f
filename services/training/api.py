"""The training service's door. Translates, and decides nothing."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import asdict

from google.protobuf.json_format import ParseDict

from finetuneflow.common.v1 import worker_service_pb2
from finetuneflow.training.v1 import (
    chat_worker_service_pb2,
    chat_worker_service_pb2_grpc,
    run_pb2,
    training_service_pb2_grpc,
)
from finetuneflow.training.v1 import training_service_pb2 as pb
from services.common import ids
from services.common.auth import current_principal
from services.common.documents.port import Document
from services.common.errors import NotFound
from services.common.interceptors import Context
from services.common.jobwork import checkpoints
from services.common.jobwork.follow import Follower
from services.common.jobwork.orphans import Orphan
from services.common.jobwork.reports import ReportStore
from services.common.objects.port import Objects
from services.common.objects.served import sent
from services.common.protoform import artifact_to_proto, meta_to_proto, timestamp, work_to_proto
from services.training.chatreplicas import SharedChats
from services.training.chats import Chats
from services.training.estimating import estimate_of
from services.training.forms import config_to_proto, resources_of, resources_to_proto
from services.training.judging import Judging
from services.training.judging import to_proto as judgement_to_proto
from services.training.peers import PASSED_ON
from services.training.service import RUN, Training

SHOWN = 3
"""Examples whose labels are shown where nobody says how many."""

_LOG_LINE = re.compile(r"(\d{4}-\d\d-\d\dT\S+) (DEBUG|INFO|WARNING|ERROR|CRITICAL) +(.*)")


class TrainingApi(training_service_pb2_grpc.TrainingServiceServicer):
    """TrainingService."""

    def __init__(
        self,
        training: Training,
        follower: Follower,
        reports: ReportStore,
        objects: Objects,
        orphans: Callable[[], Awaitable[list[Orphan]]],
        chats: SharedChats,
        judging: Judging,
    ) -> None:
        self._training = training
        self._follower = follower
        self._reports = reports
        self._objects = objects
        self._orphans = orphans
        self._chats = chats
        self._judging = judging

    async def _run(self, doc: Document) -> run_pb2.Run:
        return to_proto(doc, await self._reports.last_seq(doc, doc["work"]["attempt"]) if doc["uid"] else 0)

    async def CreateRun(self, request: pb.CreateRunRequest, context: Context) -> run_pb2.Run:
        """Queue a run."""
        doc = await self._training.create(
            request.parent,
            request.run,
            request.run_id,
            request.request_id,
            current_principal().name,
            validate_only=request.validate_only,
            shown=request.preview_examples if request.HasField("preview_examples") else SHOWN,
        )
        return await self._run(doc)

    async def GetRun(self, request: pb.GetRunRequest, context: Context) -> run_pb2.Run:
        """Return a run."""
        ids.parse_name(request.name, RUN)
        doc = await self._training.runs.get(request.name)
        run = await self._run(doc)
        run.curve.extend(await self._reports.summary(doc["uid"]))
        return run

    async def ListRuns(self, request: pb.ListRunsRequest, context: Context) -> pb.ListRunsResponse:
        """Return a page of a project's runs."""
        ids.parse_name(request.parent, "projects/*", "parent")
        docs, token = await self._training.runs.page({"parent": request.parent}, request.page_size, request.page_token)
        return pb.ListRunsResponse(runs=[await self._run(d) for d in docs], next_page_token=token)

    async def DeleteRun(self, request: pb.DeleteRunRequest, context: Context) -> pb.DeleteRunResponse:
        """Delete a run."""
        ids.parse_name(request.name, RUN)
        await self._training.delete(request.name, request.etag)
        return pb.DeleteRunResponse()

    async def CancelRun(self, request: pb.CancelRunRequest, context: Context) -> run_pb2.Run:
        """Stop a run."""
        ids.parse_name(request.name, RUN)
        return await self._run(await self._training.cancel(request.name))

    async def PauseRun(self, request: pb.PauseRunRequest, context: Context) -> run_pb2.Run:
        """Pause a run."""
        ids.parse_name(request.name, RUN)
        return await self._run(await self._training.pause(request.name))

    async def ResumeRun(self, request: pb.ResumeRunRequest, context: Context) -> run_pb2.Run:
        """Let a paused run go on."""
        ids.parse_name(request.name, RUN)
        return await self._run(await self._training.resume(request.name))

    async def WatchRun(self, request: pb.WatchRunRequest, context: Context) -> AsyncIterator[pb.WatchRunResponse]:
        """Send reports and changes until the run has ended or is paused."""
        ids.parse_name(request.name, RUN)
        async for item in self._follower.reports(request.name, request.after_seq):
            if isinstance(item, worker_service_pb2.Report):
                yield pb.WatchRunResponse(report=item)
            else:
                yield pb.WatchRunResponse(run=await self._run(item))

    async def ReadLogs(self, request: pb.ReadLogsRequest, context: Context) -> AsyncIterator[pb.ReadLogsResponse]:
        """Send the log's lines."""
        ids.parse_name(request.name, RUN)
        async for line in self._follower.log_lines(request.name, request.follow):
            found = _LOG_LINE.fullmatch(line)
            time, level, text = found.groups() if found else ("", "", line)
            yield pb.ReadLogsResponse(time=time, level=level, text=text)

    async def ListOrphans(self, request: pb.ListOrphansRequest, context: Context) -> pb.ListOrphansResponse:
        """Return Jobs without a run, and runs without a Job."""
        found = await self._orphans()
        return pb.ListOrphansResponse(orphans=[pb.Orphan(job=o.job, run=o.work, problem=o.problem) for o in found])

    async def DownloadRunArtifact(
        self, request: pb.DownloadRunArtifactRequest, context: Context
    ) -> AsyncIterator[pb.DownloadRunArtifactResponse]:
        """Send an artifact's bytes."""
        ids.parse_name(request.name, RUN)
        doc = await self._training.runs.get(request.name)
        artifact = next((a for a in doc["artifacts"] if a["filename"] == request.filename), None)
        if artifact is None:
            names = ", ".join(a["filename"] for a in doc["artifacts"]) or "none yet"
            raise NotFound(f'{request.name} has no artifact "{request.filename[:200]}". It has: {names}.')
        what = f"{request.filename} of {request.name}"
        async for data in sent(self._objects, what, artifact, request.offset, request.sha256):
            yield pb.DownloadRunArtifactResponse(data=data)

    async def Generate(self, request: pb.GenerateRequest, context: Context) -> AsyncIterator[pb.GenerateResponse]:
        """Send the answers of a run's models."""
        ids.parse_name(request.name, RUN)
        async for update in self._chats.generate(request, passed_on=_is_passed_on(context)):
            yield update

    async def JudgeRun(self, request: pb.JudgeRunRequest, context: Context) -> AsyncIterator[pb.JudgeRunResponse]:
        """Let an LLM compare a run's answers."""
        ids.parse_name(request.name, RUN)
        async for update in self._judging.judge(request):
            yield update

    async def UnloadRun(self, request: pb.UnloadRunRequest, context: Context) -> pb.UnloadRunResponse:
        """Let a run's models go."""
        ids.parse_name(request.name, RUN)
        await self._chats.unload(request.name, passed_on=_is_passed_on(context))
        return pb.UnloadRunResponse()


def _is_passed_on(context: Context) -> bool:
    """Whether another replica of this service passes the call on."""
    names = [key for key, _ in context.invocation_metadata() or ()]
    return PASSED_ON in names and current_principal().kind == "service"


class ChatWorkerApi(chat_worker_service_pb2_grpc.ChatWorkerServiceServicer):
    """ChatWorkerService."""

    def __init__(self, chats: Chats) -> None:
        self._chats = chats

    async def Converse(
        self, request_iterator: AsyncIterator[chat_worker_service_pb2.ConverseRequest], context: Context
    ) -> AsyncIterator[chat_worker_service_pb2.ConverseResponse]:
        """Send a process its orders and take in what it says."""
        async for order in self._chats.converse(request_iterator):
            yield order


def to_proto(doc: Document, last_seq: int) -> run_pb2.Run:
    """Return a run's document as a message."""
    attempts = [
        run_pb2.Attempt(
            attempt=a["attempt"], pod_uid=a["pod_uid"], start_time=timestamp(a["start_time"]), from_step=a["from_step"]
        )
        for a in doc["attempts"]
    ]
    metrics, start = doc["last_metrics"], doc.get("start") or {}
    return run_pb2.Run(
        name=doc["_id"],
        display_name=doc["display_name"],
        meta=meta_to_proto(doc),
        work=work_to_proto(doc["work"]),
        dataset=doc["dataset"],
        dataset_version=doc["dataset_version"],
        only_approved=doc.get("only_approved", False),
        dataset_sha256=doc["dataset_sha256"],
        model=doc["model"],
        model_revision=doc["model_revision"],
        config=config_to_proto(doc["config"]),
        resources=resources_to_proto(asdict(resources_of(doc))),
        attempts=attempts,
        checkpoints=[checkpoints.to_proto(c) for c in doc["checkpoints"]],
        last_metrics=ParseDict(metrics, worker_service_pb2.MetricPoint()) if metrics else None,
        result=ParseDict(doc["result"], run_pb2.RunResult()) if doc["result"] else None,
        artifacts=[artifact_to_proto(a) for a in doc["artifacts"]],
        last_seq=last_seq,
        priority=doc.get("priority", 0),
        resume_from_checkpoint=start.get("name", ""),
        resume_weights_only=start.get("weights_only", False),
        earlier_dataset_sha256s=start.get("learned", ()),
        judgement=judgement_to_proto(doc["judgement"]) if doc.get("judgement") else None,
        price_per_hour=doc.get("price_per_hour", 0.0),
        estimate=estimate_of(doc),
        check=doc.get("check"),
    )
