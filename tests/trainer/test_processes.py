"""The trainer as a process: killed, told to leave, superseded."""

from __future__ import annotations

import asyncio
import re
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from finetuneflow.common.v1 import worker_service_pb2 as pb
from finetuneflow.training.v1 import run_pb2
from tests.fakes.worker_host import LAUNCH_TOKEN, WorkerHost, attempt_token
from tests.trainer.runs import config, run_here, started, train_spec, until

STEPS = 100


@pytest.mark.timeout(240)
def test_kills_change_nothing_of_the_curve(tmp_path: Path, objects: Path, dataset: Path, model: Path) -> None:
    """SIGTERM, then SIGKILL, then a third attempt to the end: loss by loss an uninterrupted run.

    SIGTERM saves at the step where it arrives, SIGKILL loses what came after the last checkpoint.
    """
    spec = train_spec(dataset, model, config(max_steps=STEPS, save_steps=10))
    with WorkerHost(tmp_path / "whole", spec) as whole:
        assert run_here(whole, tmp_path / "work") == 0
    with WorkerHost(objects, spec) as host:
        with started(host, tmp_path / "pod", pod="pod-1") as first:
            until(lambda: len(host.curve()) >= 4, 90)
            first.send_signal(signal.SIGTERM)
            code_of_first = first.wait(60)
        saved = host.checkpoints[-1].step
        seen = host.curve()[-1][1]
        with started(host, tmp_path / "pod", pod="pod-2") as second:
            until(lambda: host.checkpoints[-1].step > saved, 90)
            second.send_signal(signal.SIGKILL)
            second.wait()
        last = run_here(host, tmp_path / "again", pod="pod-3")

    assert code_of_first == 143
    assert saved == seen
    assert last == 0
    assert len(host.pods) == 3
    newest = {step: value for _, step, value in sorted(host.curve())}
    assert newest == {step: value for _, step, value in whole.curve()}
    assert len(newest) == STEPS
    for attempt in (1, 2, 3):
        steps = [step for number, step, _ in host.curve() if number == attempt]
        assert steps == list(range(steps[0], steps[0] + len(steps)))
    log = (tmp_path / "pod" / "log-pod-1.txt").read_text()
    assert LAUNCH_TOKEN not in log
    assert attempt_token(1) not in log
    assert "Traceback" not in log


def test_a_superseded_trainer_leaves_at_once(tmp_path: Path, objects: Path, dataset: Path, model: Path) -> None:
    """With exit code 4, and without another write."""
    spec = train_spec(dataset, model, config(max_steps=100_000, save_steps=100_000))
    with WorkerHost(objects, spec) as host, started(host, tmp_path / "pod") as process:
        until(lambda: len(host.curve()) >= 2, 90)
        host.supersede()
        code = process.wait(10)
        stored = host.last_seq
    said = (tmp_path / "pod" / "log-pod-1.txt").read_text()

    assert code == 4
    assert re.search(r"^\d{4}-\d\d-\d\dT[\d:]{8}Z INFO A later attempt has taken over; leaving\.$", said, re.MULTILINE)
    assert host.last_seq == stored
    assert host.checkpoints == []
    assert host.finished == []


@pytest.mark.timeout(240)
def test_a_frozen_trainer_wakes_up_to_leave(tmp_path: Path, objects: Path, dataset: Path, model: Path) -> None:
    """Its node stood still while another attempt did the work; it writes no report, and no object that counts.

    An object that it was writing may be finished: it lies under the frozen attempt, in a checkpoint never recorded.
    """
    spec = train_spec(dataset, model, config(max_steps=2_000, save_steps=10))
    with WorkerHost(objects, spec) as host, started(host, tmp_path / "pod", pod="pod-1") as frozen:
        until(lambda: len(host.checkpoints) >= 1, 90)
        frozen.send_signal(signal.SIGSTOP)
        step = host.checkpoints[-1].step
        host.spec.config.max_steps = step + 10  # type: ignore[attr-defined]  # it is a TrainSpec
        with started(host, tmp_path / "other", pod="pod-2") as other:
            code_of_other = other.wait(60)
        stored, files, known = host.last_seq, contents(objects), len(host.checkpoints)
        frozen.send_signal(signal.SIGCONT)
        code = frozen.wait(20)

    assert (code_of_other, code) == (0, 4)
    assert host.last_seq == stored
    assert {path.partition("/attempt-1/")[0] for path in contents(objects).keys() - files.keys()} <= {begun(objects)}
    assert contents(objects).items() >= files.items()
    assert len(host.checkpoints) == known
    assert len(host.finished) == 1
    assert {attempt for attempt, step_of, _ in host.curve() if step_of > step + 10} <= {1}


def begun(folder: Path) -> str:
    """Where the objects of a run lie."""
    return str(folder / "runs" / "uid")


def contents(folder: Path) -> dict[str, float]:
    """Files below a folder with the times at which they changed."""
    return {str(path): path.stat().st_mtime for path in folder.rglob("*") if path.is_file()}


class Unheard(WorkerHost):
    """Does what it is asked, restarts, and does not answer, the first time. Repeats change nothing."""

    def __init__(self, folder: Path, spec: run_pb2.TrainSpec) -> None:
        super().__init__(folder, spec)
        self.unheard = {"BeginAttempt", "CompleteCheckpoint", "FinishAttempt"}

    async def BeginAttempt(self, request: pb.BeginAttemptRequest, context: Any) -> pb.BeginAttemptResponse:
        """Begin, and lose the answer."""
        answer = await super().BeginAttempt(request, context)
        await self._lose("BeginAttempt", context)
        return answer

    async def CompleteCheckpoint(
        self, request: pb.CompleteCheckpointRequest, context: Any
    ) -> pb.CompleteCheckpointResponse:
        """Record, and lose the answer."""
        if request.checkpoint.step not in [c.step for c in self.checkpoints]:
            await super().CompleteCheckpoint(request, context)
        await self._lose("CompleteCheckpoint", context)
        return pb.CompleteCheckpointResponse()

    async def FinishAttempt(self, request: pb.FinishAttemptRequest, context: Any) -> pb.FinishAttemptResponse:
        """End the work, and lose the answer."""
        if not self.finished:
            await super().FinishAttempt(request, context)
        await self._lose("FinishAttempt", context)
        return pb.FinishAttemptResponse()

    async def _lose(self, name: str, context: Any) -> None:
        if name in self.unheard:
            self.unheard.remove(name)
            threading.Thread(target=self._restart, daemon=True).start()
            await asyncio.sleep(30)

    def _restart(self) -> None:
        self.go_away()
        time.sleep(1)
        self.come_back()


def test_a_service_killed_before_its_answer_costs_and_doubles_nothing(
    tmp_path: Path, objects: Path, dataset: Path, model: Path
) -> None:
    """While the attempt begins, while a checkpoint is recorded, while the work ends: away for a second each time."""
    with Unheard(objects, train_spec(dataset, model)) as host:
        code = run_here(host, tmp_path / "work")

    assert code == 0
    assert host.unheard == set()
    assert host.pods == ["pod-1"]
    assert [step for _, step, _ in host.curve()] == list(range(1, 9))
    assert [c.step for c in host.checkpoints][-1] == 8
    assert len(host.finished) == 1
