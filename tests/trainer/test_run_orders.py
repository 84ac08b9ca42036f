"""Runs that are told to save, to stop or to leave, and one whose service is away."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest

from finetuneflow.common.v1 import worker_service_pb2 as pb
from services.trainer.reporter import Orders
from tests.fakes.worker_host import WorkerHost
from tests.trainer.runs import config, run_here, train_spec, until, when


def test_training_goes_on_while_the_service_is_away(tmp_path: Path, objects: Path, dataset: Path, model: Path) -> None:
    """The steps of that time are reported afterwards, each once, with the time at which they were made."""
    spec = train_spec(dataset, model, config(max_steps=60, save_steps=100))
    with WorkerHost(objects, spec) as host:
        orders = Orders()

        def leave() -> None:
            host.go_away()
            until(lambda: bool(list((tmp_path / "work").glob("attempt-1/checkpoints/checkpoint-60"))), 60)
            host.come_back()

        with when(lambda: len(host.curve()) >= 3, leave):
            code = run_here(host, tmp_path / "work", orders=orders)

    assert code == 0
    assert [step for _, step, _ in host.curve()] == list(range(1, 61))
    assert [c.step for c in host.checkpoints] == [60]


def test_save_takes_a_checkpoint_between_the_others(tmp_path: Path, objects: Path, dataset: Path, model: Path) -> None:
    """At the next step; then the training goes on."""
    spec = train_spec(dataset, model, config(max_steps=30, save_steps=1000))
    with (
        WorkerHost(objects, spec) as host,
        when(lambda: len(host.curve()) >= 2, lambda: host.command(pb.COMMAND_SAVE)),
    ):
        code = run_here(host, tmp_path / "work")

    assert code == 0
    assert len(host.checkpoints) == 2
    assert 2 < host.checkpoints[0].step < 30
    assert len(host.curve()) == 30


def test_stop_ends_a_run_without_checkpoint_or_result(
    tmp_path: Path, objects: Path, dataset: Path, model: Path
) -> None:
    """The exit code is 0: the service knows."""
    spec = train_spec(dataset, model, config(max_steps=2000, save_steps=1000))
    with (
        WorkerHost(objects, spec) as host,
        when(lambda: len(host.curve()) >= 2, lambda: host.command(pb.COMMAND_STOP)),
    ):
        code = run_here(host, tmp_path / "work")

    assert code == 0
    assert host.checkpoints == []
    assert host.finished == []


@pytest.mark.parametrize(("failures", "code", "stored"), [(1, 143, 1), (2, 1, 0)])
def test_a_checkpoint_that_was_not_stored_is_not_taken_for_saved(
    tmp_path: Path, objects: Path, dataset: Path, model: Path, failures: int, code: int, stored: int
) -> None:
    """After SIGTERM its upload is tried once more; fails that too, the attempt ends with an error, not as saved."""
    spec = train_spec(dataset, model, config(max_steps=2000, save_steps=1000))
    orders = Orders()
    with WorkerHost(objects, spec) as host:

        def leave() -> None:
            host.failures += [grpc.StatusCode.PERMISSION_DENIED] * failures
            orders.terminate()

        with when(lambda: len(host.curve()) >= 2, leave):
            ended = run_here(host, tmp_path / "work", orders=orders)

    assert ended == code
    assert len(host.checkpoints) == stored
    assert ["not stored before the end" in request.error.message for request in host.finished] == [True] * (not stored)


def test_a_trainer_that_waits_for_its_service_can_be_told_to_leave(
    tmp_path: Path, objects: Path, dataset: Path, model: Path
) -> None:
    """SIGTERM before the attempt has begun: exit code 143, nothing to save."""
    orders = Orders()
    orders.terminate()
    with WorkerHost(objects, train_spec(dataset, model)) as host:
        host.go_away()
        code = run_here(host, tmp_path / "work", orders=orders)

    assert code == 143
    assert host.calls == []
