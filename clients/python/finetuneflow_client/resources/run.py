"""Runs: a training each, and what it came to."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Literal

from finetuneflow.common.v1 import worker_service_pb2
from finetuneflow.export.v1 import export_pb2, export_service_pb2
from finetuneflow.training.v1 import run_pb2, training_service_pb2
from finetuneflow_client import names, watch
from finetuneflow_client.client import Services
from finetuneflow_client.downloads import download_run_artifact, of_file
from finetuneflow_client.errors import FtfError
from finetuneflow_client.filling import filled
from finetuneflow_client.resources import html
from finetuneflow_client.resources.export import Export
from finetuneflow_client.resources.metric import Metric
from finetuneflow_client.resources.resource import Working

_MOST_KEPT = 2_000


class Run(Working):
    """A training on one frozen dataset version."""

    message: run_pb2.Run
    _seen: dict[int, Metric]

    def __init__(self, services: Services, message: run_pb2.Run) -> None:
        super().__init__(services, message)
        self._seen = {}

    @property
    def loss(self) -> float | None:
        """Training loss at its end, or the newest one that was watched or told; None before the first."""
        watched = next((one.loss for one in reversed(self._seen.values()) if one.loss is not None), None)
        return self.message.result.train_loss or watched or self.message.last_metrics.values.get("loss")

    @property
    def curve(self) -> list[Metric]:
        """Its numbers by step: once it has ended, in at most 1,000 points; before, some of those that were watched."""
        if self.message.curve:
            return [_metric(0, point) for point in self.message.curve]
        return [self._seen[step] for step in sorted(self._seen)]

    async def refresh(self) -> Run:
        """Ask the server how it is now. Raises FtfError NOT_FOUND."""
        request = training_service_pb2.GetRunRequest(name=self.name)
        self.message = await self._services.training.GetRun(request)
        return self

    async def watch(
        self, after_seq: int = 0, *, patience: float = 900, away: Callable[[FtfError], None] | None = None
    ) -> AsyncIterator[Metric]:
        """Yield the run's numbers, each once and in order, until it has ended; the run is up to date then.

        A connection that breaks off is taken up where it was, and a server that is away is waited for.

        Args:
            after_seq: seq of the last metric seen; 0 yields all.
            patience: seconds to wait for a server that is away.
            away: called with the error each time that the connection is lost.

        Raises:
            FtfError: NOT_FOUND; WorkFailed, WorkPaused or WorkCancelled at the end of a run that did not succeed; the
                last error when patience is at an end.
        """
        async for update in watch.watch_run(self._services, self.name, after_seq, patience=patience, away=away):
            if update.HasField("run"):
                self.message = update.run
            elif update.report.HasField("metrics"):
                metric = _metric(update.report.seq, update.report.metrics)
                self._keep(metric)
                yield metric
        # The stream's last word may be older than the result, and has no curve.
        await self.refresh()
        self._raise_error()

    async def wait(self) -> Run:
        """Wait until it has ended. Raises WorkFailed, WorkPaused or WorkCancelled."""
        async for _ in self.watch():
            pass
        return self

    async def logs(self, *, follow: bool = False) -> AsyncIterator[str]:
        """Yield the trainer's log lines, oldest first; with `follow` until the run has ended, whatever breaks off."""
        async for line in watch.read_logs(self._services, self.name, follow=follow):
            yield line.text

    async def export(
        self,
        format: Literal["adapter", "merged", "gguf", "awq", "onnx"],
        *,
        quantization: str | None = None,
        id: str = "",
        accept_forgetting: bool = False,
        max_shard_bytes: int | None = None,
    ) -> Export:
        """Begin to make weights to take away; Export.download waits for them.

        Args:
            format: the adapter alone, the merged model, or that as one file for llama.cpp, in 4 bits for vLLM, or as a
                graph for ONNX Runtime.
            quantization: of "gguf": "Q8_0" (the default), "Q4_K_M", "F16", …
            id: last part of the export's name; made up if empty.
            accept_forgetting: make it although the run forgot more than its max_forgetting allows.
            max_shard_bytes: of "merged": most bytes of a weights file.

        Raises:
            FtfError: as CreateExport.
        """
        wanted = export_pb2.Export(run=self.name, accept_forgetting=accept_forgetting)
        filled(wanted, {"format": format, "quantization": quantization, "max_shard_bytes": max_shard_bytes})
        request = export_service_pb2.CreateExportRequest(parent=names.parent(self.name), export=wanted, export_id=id)
        return Export(self._services, await self._services.export.CreateExport(request))

    async def download(
        self, folder: str | Path, *, progress: Callable[[str, int, int], None] | None = None
    ) -> list[Path]:
        """Fetch the artifacts of a run that has succeeded (report, plots, adapter), each checked by its hash.

        It does not wait. Args: as Export.download.

        Raises:
            FtfError: FAILED_PRECONDITION before it has ended, and with reason ARTIFACT_CHANGED for an artifact that was
                made anew meanwhile; NOT_FOUND; WorkPaused; otherwise as Export.download.
        """
        await self.refresh()
        self._raise_error()
        if not self.message.artifacts:
            remedy = "wait() until it has succeeded"
            raise FtfError(f"{self.name} is {self.state} and has no artifacts yet", remedy, code="FAILED_PRECONDITION")
        return [
            await download_run_artifact(self._services, self.name, one, Path(folder), of_file(progress, one.filename))
            for one in self.message.artifacts
        ]

    async def cancel(self) -> None:
        """Stop it; if it has ended, nothing changes. Raises FtfError NOT_FOUND."""
        request = training_service_pb2.CancelRunRequest(name=self.name)
        self.message = await self._services.training.CancelRun(request)

    async def pause(self) -> None:
        """Free what it holds and keep everything made, until resume(). Raises FtfError NOT_FOUND."""
        request = training_service_pb2.PauseRunRequest(name=self.name)
        self.message = await self._services.training.PauseRun(request)

    async def resume(self) -> None:
        """Go on from the newest checkpoint. Raises FtfError FAILED_PRECONDITION (WORK_ENDED) if it has ended."""
        request = training_service_pb2.ResumeRunRequest(name=self.name)
        self.message = await self._services.training.ResumeRun(request)

    async def delete(self) -> None:
        """Delete it with its checkpoints and artifacts; a live one is stopped first. Raises FtfError NOT_FOUND."""
        await self._services.training.DeleteRun(training_service_pb2.DeleteRunRequest(name=self.name))

    def _keep(self, metric: Metric) -> None:
        """Remember a number for the curve; of many, every other one is let go."""
        self._seen.pop(metric.step, None)
        self._seen[metric.step] = metric
        if len(self._seen) > _MOST_KEPT:
            self._seen = dict(list(self._seen.items())[::2])

    def _repr_html_(self) -> str:
        """Return it for a notebook: its facts and the curve of its loss."""
        phase, done, total = self.progress
        points = self.curve
        lines = {
            "loss": [(metric.step, metric.loss) for metric in points if metric.loss is not None],
            "eval_loss": [(metric.step, metric.eval_loss) for metric in points if metric.eval_loss is not None],
        }
        known = {
            "run": self.name,
            "state": f"{self.state} {phase} {done}/{total}" if self.state == "running" else self.state,
            "error": self.error or "",
            "model": self.message.model,
            "dataset": f"{self.message.dataset}, version {self.message.dataset_version}",
            "loss": "" if self.loss is None else f"{self.loss:.4f}",
        }
        return html.facts(known) + html.curves(lines)


def _metric(seq: int, point: worker_service_pb2.MetricPoint) -> Metric:
    return Metric(seq, point.step, point.total_steps, dict(point.values))
