"""Runs of the stand-in trainer, and what must be true of each when it is over."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

from finetuneflow.common.v1 import waiting_pb2, work_pb2
from finetuneflow.dataset.v1 import dataset_service_pb2
from finetuneflow.training.v1 import resources_pb2, run_pb2, training_service_pb2
from finetuneflow_client.errors import FtfError
from finetuneflow_client.watch import watch_run
from tests.cluster.bed.waits import until
from tests.cluster.release.install import Release
from tests.cluster.release.seed import PROJECT

Json = dict[str, Any]
OUTAGE = float(os.environ.get("FTF_FAULT_SECONDS", "10"))
PARENT = f"projects/{PROJECT}"
QUICK: Json = {"steps": 60, "step_seconds": 0.1, "save_steps": 10}
"""A run of six seconds."""
LONG: Json = {"steps": int(10 * OUTAGE), "step_seconds": 0.2, "save_steps": 10}
"""A run of two outages. The stand-in for MongoDB reads all reports of a run for each further one, so they are few."""


def state(run: run_pb2.Run) -> str:
    """Return the state without its prefix: "RUNNING"."""
    return work_pb2.WorkState.Name(run.work.state).removeprefix("WORK_STATE_")


def waiting(run: run_pb2.Run) -> str:
    """Return why a run waits, without the prefix; "UNSPECIFIED" if it does not."""
    return waiting_pb2.WaitingReason.Name(run.work.waiting.reason).removeprefix("WAITING_REASON_")


class Faulty:
    """The release and its runs."""

    def __init__(self, release: Release, plans: Path) -> None:
        """Plans are read by the stand-in trainer at every step."""
        self.release, self.bed, self.flow, self._plans = release, release.bed, release.flow, plans
        self.namespace = release.namespace
        self._numbers = itertools.count(1)

    def plan(self, run_id: str, plan: Mapping[str, object]) -> None:
        """Say what the trainer of a run does, from its next step on."""
        fresh = self._plans / f".{run_id}"
        fresh.write_text(json.dumps(plan), encoding="utf-8")
        fresh.replace(self._plans / f"{run_id}.json")

    async def create(self, plan: Mapping[str, object], **resources: Any) -> str:
        """Create a run with this plan and these resources, and return its name."""
        run_id = f"run-{next(self._numbers)}-{os.urandom(3).hex()}"
        self.plan(run_id, plan)
        found = await self.flow.dataset.ListDatasets(dataset_service_pb2.ListDatasetsRequest(parent=PARENT))
        run = run_pb2.Run(
            dataset=found.datasets[0].name, model="models/tiny", resources=resources_pb2.Resources(**resources)
        )
        request = training_service_pb2.CreateRunRequest(parent=PARENT, run=run, run_id=run_id, request_id=run_id)
        return await self._create(request)

    async def _create(self, request: training_service_pb2.CreateRunRequest) -> str:
        """Create a run; again, by the same request_id, if whoever was asked does not answer."""
        end = time.monotonic() + 60
        while True:
            try:
                return (await self.flow.training.CreateRun(request, timeout=10)).name
            except FtfError as error:
                if error.code not in ("UNAVAILABLE", "DEADLINE_EXCEEDED") or time.monotonic() > end:
                    raise
                await asyncio.sleep(0.2)

    async def warm(self) -> None:
        """Let every replica of training ask its peers, so that they know it while nobody can be asked."""
        found = await self.flow.dataset.ListDatasets(dataset_service_pb2.ListDatasetsRequest(parent=PARENT))
        run = run_pb2.Run(dataset=found.datasets[0].name, model="models/tiny")
        request = training_service_pb2.CreateRunRequest(parent=PARENT, run=run, validate_only=True)
        for _ in range(8):
            await self.flow.training.CreateRun(request)

    async def get(self, name: str) -> run_pb2.Run:
        """Return a run."""
        return await self.flow.training.GetRun(training_service_pb2.GetRunRequest(name=name))

    async def cancel(self, name: str) -> None:
        """Ask a run to end."""
        await self.flow.training.CancelRun(training_service_pb2.CancelRunRequest(name=name))

    async def pause(self, name: str) -> None:
        """Ask a run to pause."""
        await self.flow.training.PauseRun(training_service_pb2.PauseRunRequest(name=name))

    async def resume(self, name: str) -> None:
        """Let a paused run go on."""
        await self.flow.training.ResumeRun(training_service_pb2.ResumeRunRequest(name=name))

    async def gone(self, name: str) -> None:
        """Wait until a run has neither a Job nor a trainer."""

        async def check() -> bool:
            return not await self.jobs(name) and not trainers(name)

        await until(check, f"{name} has no Job and no trainer")

    async def reach(self, name: str, *states: str, seconds: float = 60) -> run_pb2.Run:
        """Wait until a run is in one of the states."""
        return await self._until(name, lambda run: state(run) in states, f"{name} is {' or '.join(states)}", seconds)

    async def waits(self, name: str, *reasons: str, seconds: float = 30) -> run_pb2.Run:
        """Wait until a run says that it waits for one of these reasons; 30 seconds are promised."""
        return await self._until(name, lambda run: waiting(run) in reasons, f"{name} waits: {reasons}", seconds)

    async def steps(self, name: str, least: int, seconds: float = 60) -> run_pb2.Run:
        """Wait until a run has reported a step."""
        return await self._until(name, lambda run: run.last_metrics.step >= least, f"{name} at step {least}", seconds)

    async def _until(self, name: str, right: Any, what: str, seconds: float) -> run_pb2.Run:
        last: list[object] = [None]

        async def check() -> run_pb2.Run | None:
            try:
                run = await self.get(name)
            except FtfError as error:
                last[0] = error
                return None
            last[0] = (
                state(run),
                waiting(run),
                run.work.waiting.message,
                run.work.error.message,
                run.last_metrics.step,
            )
            return run if right(run) else None

        try:
            return await until(check, what, seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}; {last[0]}") from None

    async def pods(self, name: str) -> list[Json]:
        """Return the pods of a run that are not going away, oldest first."""
        found = await self._objects("pods", (await self.get(name)).meta.uid)
        live = [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]
        return sorted(live, key=lambda pod: str(pod["metadata"]["creationTimestamp"]))

    async def pod(self, name: str) -> Json:
        """Return the running pod of a run."""

        async def check() -> Json | None:
            running = [pod for pod in await self.pods(name) if pod["status"].get("phase") == "Running"]
            return running[-1] if running else None

        found = await until(check, f"{name} has a running pod")
        assert found is not None
        return found

    async def jobs(self, name: str) -> list[Json]:
        """Return the Jobs of a run."""
        return await self._objects("batch/v1/jobs", (await self.get(name)).meta.uid)

    async def _objects(self, kind: str, uid: str) -> list[Json]:
        return await self.bed.raw.list(kind, self.namespace, labelSelector=f"finetuneflow.dev/uid={uid}")

    @contextlib.asynccontextmanager
    async def census(self, name: str) -> AsyncIterator[list[int]]:
        """Count the run's trainers ten times a second; the list's one number is the most that lived at a time."""
        most = [0]

        async def count() -> None:
            while True:
                most[0] = max(most[0], len(trainers(name)))
                await asyncio.sleep(0.1)

        task = asyncio.create_task(count())
        try:
            yield most
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def settled(self, name: str, ending: str = "SUCCEEDED", seconds: float = 240) -> run_pb2.Run:
        """Wait for a run's end; check that it is this one and stays so, the curve, and that nothing is left behind."""
        run = await self.reach(name, "SUCCEEDED", "FAILED", "CANCELLED", seconds=seconds)
        assert state(run) == ending, run.work
        await self._curve(run)
        for kind in ("batch/v1/jobs", "pods", "secrets", "services"):
            await until(lambda kind=kind: self._none(kind, run.meta.uid), f"no {kind} of {name} are left", 40)
        orphans = await self.flow.training.ListOrphans(training_service_pb2.ListOrphansRequest())
        assert not orphans.orphans
        assert not trainers(name)
        assert state(await self.get(name)) == ending
        return run

    async def _none(self, kind: str, uid: str) -> bool:
        return not await self._objects(kind, uid)

    async def _curve(self, run: run_pb2.Run) -> None:
        """Check that every step is there once, where a later attempt replaces what came after its checkpoint."""
        seqs: list[int] = []
        points: list[tuple[int, int]] = []
        async for update in watch_run(self.flow, run.name):
            if update.HasField("report"):
                seqs.append(update.report.seq)
                if "loss" in update.report.metrics.values:
                    points.append((update.report.attempt, update.report.metrics.step))
        for attempt in run.attempts:
            points = [(a, step) for a, step in points if a >= attempt.attempt or step <= attempt.from_step]
        steps = [step for _, step in points]
        assert seqs == sorted(set(seqs))
        assert steps == list(range(1, len(steps) + 1)), f"{points} of {run.attempts}"
        if state(run) == "SUCCEEDED":
            assert steps[-1:] == [run.result.steps]


def trainers(name: str) -> list[int]:
    """Return the processes of a run's trainers."""
    found = []
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                words = Path(entry.path, "cmdline").read_bytes().split(b"\0")
                if b"tests.fakes.trainer_program" in words and words[0].rpartition(b"/")[2].startswith(b"python"):
                    environ = Path(entry.path, "environ").read_bytes().split(b"\0")
                    if f"FTF_WORK={name}".encode() in environ:
                        found.append(int(entry.name))
    return found
