"""The trainer as a process: killed, told to leave, superseded."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

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

    assert code == 4
    assert host.last_seq == stored
    assert host.checkpoints == []
    assert host.finished == []
