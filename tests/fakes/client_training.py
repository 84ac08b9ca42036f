"""Runs that train by being watched, kept in memory, for tests of the client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from finetuneflow.common.v1 import work_pb2, worker_service_pb2
from finetuneflow.training.v1 import (
    chat_pb2,
    judgement_pb2,
    run_pb2,
    training_service_pb2,
    training_service_pb2_grpc,
)
from tests.fakes.client_checks import checked
from tests.fakes.client_world import RUNNING, World, abort, done, failed, found, paged


class Training(training_service_pb2_grpc.TrainingServiceServicer):
    """Runs that train by being watched, one report at a time."""

    def __init__(self, world: World) -> None:
        self.world = world

    async def CreateRun(self, request: Any, context: Any) -> Any:
        self.world.calls.append("CreateRun")
        name = f"{request.parent}/runs/{request.run_id or 'r1'}"
        if name in self.world.runs and not request.validate_only:
            await abort(context, "ALREADY_EXISTS", f"{name} exists. Choose another id.", "ALREADY_EXISTS")
        run = run_pb2.Run(name=name, work=work_pb2.Work(state=RUNNING, attempt=1))
        run.MergeFrom(request.run)
        if request.validate_only:
            run.check.CopyFrom(checked(request))
        else:
            self.world.runs[name] = run
            answer = run_pb2.Run()
            answer.CopyFrom(run)
            answer.check.problems.extend(checked(request).problems)
            return answer
        return run

    async def GetRun(self, request: Any, context: Any) -> Any:
        return await found(context, self.world.runs, request.name)

    async def ListRuns(self, request: Any, context: Any) -> Any:
        page, token = paged(self.world.runs, request.parent, request)
        return training_service_pb2.ListRunsResponse(runs=page, next_page_token=token)

    async def ListOrphans(self, request: Any, context: Any) -> Any:
        return training_service_pb2.ListOrphansResponse(orphans=self.world.orphans)

    async def DeleteRun(self, request: Any, context: Any) -> Any:
        await found(context, self.world.runs, request.name)
        del self.world.runs[request.name]
        return training_service_pb2.DeleteRunResponse()

    async def CancelRun(self, request: Any, context: Any) -> Any:
        run = await found(context, self.world.runs, request.name)
        run.work.state = work_pb2.WORK_STATE_CANCELLED
        return run

    async def PauseRun(self, request: Any, context: Any) -> Any:
        run = await found(context, self.world.runs, request.name)
        late = self.world.happens("cancelling")
        run.work.state = work_pb2.WORK_STATE_CANCELLING if late else work_pb2.WORK_STATE_PAUSED
        return run

    async def ResumeRun(self, request: Any, context: Any) -> Any:
        run = await found(context, self.world.runs, request.name)
        run.work.state = RUNNING
        return run

    async def WatchRun(self, request: Any, context: Any) -> AsyncIterator[Any]:
        run = await found(context, self.world.runs, request.name)
        self.world.calls.append(f"WatchRun after {request.after_seq}")
        self.world.watched.set()
        yield training_service_pb2.WatchRunResponse(run=run)
        # One report before the cursor comes again, as it may after a restart.
        for seq in range(max(request.after_seq, 1), self.world.steps + 1):
            if run.work.state != RUNNING:
                break
            yield training_service_pb2.WatchRunResponse(report=self._report(seq))
            if seq == 3 and self.world.happens("stream cut"):
                await abort(context, "UNAVAILABLE", "going down")
            if seq == 3 and self.world.happens("stream hangs"):
                await asyncio.Event().wait()
        if run.work.state == RUNNING:
            self._end(run)
        yield training_service_pb2.WatchRunResponse(run=run)

    async def ReadLogs(self, request: Any, context: Any) -> AsyncIterator[Any]:
        await found(context, self.world.runs, request.name)
        for number in range(1, 5):
            yield training_service_pb2.ReadLogsResponse(level="INFO", text=f"line {number}")
            if number == 2 and self.world.happens("stream cut"):
                await abort(context, "UNAVAILABLE", "going down")

    async def DownloadRunArtifact(self, request: Any, context: Any) -> AsyncIterator[Any]:
        run = await found(context, self.world.runs, request.name)
        artifact = next(a for a in run.artifacts if a.filename == request.filename)
        yield training_service_pb2.DownloadRunArtifactResponse(data=self.world.content[artifact.sha256])

    async def Generate(self, request: Any, context: Any) -> AsyncIterator[Any]:
        await found(context, self.world.runs, request.name)
        self.world.calls.append(f"Generate, kept {request.keep_seconds} s")
        yield training_service_pb2.GenerateResponse(waiting="The models are being loaded.")
        for said in request.conversations:
            heard = " > ".join(message.content for message in said.messages)
            answer = chat_pb2.ChatAnswer(side=said.side, text=f"[bold]heard\x1b[31m: {heard}", tokens=3, cut=True)
            piece = chat_pb2.AnswerPiece(side=said.side, text=answer.text)
            yield training_service_pb2.GenerateResponse(piece=piece)
            yield training_service_pb2.GenerateResponse(answer=answer)

    async def JudgeRun(self, request: Any, context: Any) -> AsyncIterator[Any]:
        run = await found(context, self.world.runs, request.name)
        self.world.calls.append(f"JudgeRun by {request.llm_endpoint}, {request.max_pairs} pairs")
        yield training_service_pb2.JudgeRunResponse(total=4)
        if request.llm_endpoint.endswith("/away"):
            await abort(context, "UNAVAILABLE", "The LLM is away. Check its URL.", "LLM_UNAVAILABLE")
        rate = judgement_pb2.WinRate(wins=2, losses=1, ties=1, unjudged=1, rate=0.625, low=0.23, high=0.9)
        run.judgement.CopyFrom(judgement_pb2.Judgement(llm_endpoint="llmEndpoints/j", model="qwen", all=rate))
        yield training_service_pb2.JudgeRunResponse(done=4, total=4, judgement=run.judgement)

    async def UnloadRun(self, request: Any, context: Any) -> Any:
        self.world.calls.append("UnloadRun")
        return training_service_pb2.UnloadRunResponse()

    def _report(self, seq: int) -> worker_service_pb2.Report:
        metrics = worker_service_pb2.MetricPoint(step=seq, total_steps=self.world.steps, values={"loss": 3.0 / seq})
        return worker_service_pb2.Report(seq=seq, attempt=1, metrics=metrics)

    def _end(self, run: run_pb2.Run) -> None:
        if self.world.happens("trainer crashes"):
            run.work.CopyFrom(failed("The trainer stopped. See `ftf logs`.", "TRAINER_CRASHED"))
            return
        run.work.CopyFrom(done("train"))
        run.result.steps = self.world.steps
        recall = run.result.evaluation.recall
        recall.examples, recall.base_loss, recall.tuned_loss = 2, 3.0, 1.5
        run.artifacts.append(self.world.artifact("report.md", b"# Report\n"))
        run.artifacts.append(self.world.artifact("report.html", b"<!DOCTYPE html><title>Report</title>\n"))
