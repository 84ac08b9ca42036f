"""A training of several processes: two on one node, and two nodes of one each, over loopback."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from finetuneflow.common.v1 import worker_service_pb2 as pb
from finetuneflow.training.v1 import config_pb2, run_pb2
from services.trainer.places import notes
from tests.fakes.worker_host import LAUNCH_TOKEN, WorkerHost, attempt_token
from tests.trainer.runs import config, rows, run_here, started, train_spec, until, write_dataset

STEPS = 40
LORA = config_pb2.LoraConfig(r=4, lora_alpha=8, lora_dropout=0.0)
"""Without dropout: two processes draw other numbers than one."""


def settings(accumulation: int, steps: int) -> config_pb2.TrainingConfig:
    """Settings of a long run whose checkpoints are only those that are asked for."""
    return config(
        lora=LORA, learning_rate=0.002, gradient_accumulation_steps=accumulation, max_steps=steps, save_steps=10_000
    )


@pytest.fixture
def eight(tmp_path: Path) -> Path:
    """A dataset that four microbatches of two go through in one step."""
    return write_dataset(tmp_path / "dataset.jsonl", rows(train=8, held_out=3))


@pytest.fixture
def endless(eight: Path, model: Path) -> run_pb2.TrainSpec:
    """A run that does not end by itself."""
    return train_spec(eight, model, settings(2, 100_000))


@contextlib.contextmanager
def two_nodes(host: WorkerHost, folder: Path, pods: str) -> Iterator[list[subprocess.Popen[str]]]:
    """Two launchers, each as if in a pod of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        master = f"127.0.0.1:{probe.getsockname()[1]}"
    with contextlib.ExitStack() as stack:
        yield [
            stack.enter_context(
                started(
                    host,
                    folder / f"node-{node}",
                    pod=f"{pods}-{node}",
                    FTF_NODES="2",
                    FTF_PROCESSES="1",
                    FTF_MASTER=master,
                    JOB_COMPLETION_INDEX=str(node),
                )
            )
            for node in (0, 1)
        ]


def pid_of(work: Path, process: int = 0) -> int:
    """Process id of a process that trains, from the notes in its work folder."""
    return int(notes(next(work.glob("launch-*")), "pid")[process])


@pytest.mark.timeout(200)
def test_two_processes_train_what_one_does(tmp_path: Path, objects: Path, eight: Path, model: Path) -> None:
    """Loss by loss, also over SIGTERM and a resume; and the evaluation is the same.

    The global batch is per_device_train_batch_size × processes × gradient_accumulation_steps.
    """
    with WorkerHost(tmp_path / "one", train_spec(eight, model, settings(4, STEPS))) as one:
        assert run_here(one, tmp_path / "work") == 0
    with WorkerHost(objects, train_spec(eight, model, settings(2, STEPS))) as two:
        with started(two, tmp_path / "pod", pod="pod-1", FTF_PROCESSES="2") as first:
            until(lambda: len(two.curve()) >= 3, 90)
            first.send_signal(signal.SIGTERM)
            code_of_first = first.wait(60)
        saved = two.checkpoints[-1]
        with started(two, tmp_path / "pod", pod="pod-2", FTF_PROCESSES="2") as second:
            code_of_second = second.wait(90)

    log = (tmp_path / "pod" / "log-pod-1.txt").read_text()
    assert (code_of_first, code_of_second) == (143, 0)
    assert 3 <= saved.step < STEPS
    assert {"rng_state_0.pth", "rng_state_1.pth"} < {f.filename for f in saved.files}
    assert [step for _, step, _ in two.curve()] == list(range(1, STEPS + 1))
    for name, tolerance in (("loss", 1e-5), ("num_tokens", 0), ("grad_norm", 1e-4)):
        assert [v for *_, v in two.curve(name)] == pytest.approx([v for *_, v in one.curve(name)], abs=tolerance)
    results = [run_pb2.RunResult(), run_pb2.RunResult()]
    for host, result in zip((one, two), results, strict=True):
        assert host.finished[-1].result.Unpack(result)
    for name in ("generalise", "recall"):
        single, shared = (getattr(result.evaluation, name) for result in results)
        assert (shared.examples, shared.tokens) == (single.examples, single.tokens)
        assert shared.base_loss == pytest.approx(single.base_loss, abs=1e-6)
        assert shared.tuned_loss == pytest.approx(single.tuned_loss, abs=1e-5)
    assert results[1].trainable_parameters == results[0].trainable_parameters
    assert two.calls.count("BeginAttempt") == 2
    assert not {LAUNCH_TOKEN, attempt_token(1), "Traceback"} & set(log.split())
    assert list((tmp_path / "pod" / "work").iterdir()) == []


@pytest.mark.timeout(120)
def test_stop_ends_every_process(tmp_path: Path, objects: Path, endless: run_pb2.TrainSpec) -> None:
    """With exit code 0 and no checkpoint."""
    with WorkerHost(objects, endless) as host, started(host, tmp_path / "pod", FTF_PROCESSES="2") as launcher:
        until(lambda: len(host.curve()) >= 2, 90)
        host.command(pb.COMMAND_STOP)
        code = launcher.wait(30)

    assert code == 0
    assert host.checkpoints == []
    assert host.finished == []


@pytest.mark.timeout(200)
def test_sigterm_on_one_node_saves_and_ends_both(tmp_path: Path, objects: Path, endless: run_pb2.TrainSpec) -> None:
    """The node that does not lead is drained; both end with 143 after one checkpoint. SAVE before that only saves."""
    with WorkerHost(objects, endless) as host, two_nodes(host, tmp_path, "first") as launchers:
        until(lambda: len(host.curve()) >= 2, 90)
        host.command(pb.COMMAND_SAVE)
        until(lambda: len(host.checkpoints) == 1, 30)
        launchers[1].send_signal(signal.SIGTERM)
        codes = [launcher.wait(30) for launcher in launchers]

    assert codes == [143, 143]
    assert len(host.checkpoints) == 2
    assert host.checkpoints[-1].step == host.curve()[-1][1]
    assert host.pods == ["first-0"]
    assert host.finished == []


@pytest.mark.timeout(200)
def test_a_killed_process_ends_the_others_at_once(tmp_path: Path, objects: Path, endless: run_pb2.TrainSpec) -> None:
    """Every node ends with 1, for the Job to try again; the service hears why."""
    with WorkerHost(objects, endless) as host, two_nodes(host, tmp_path, "first") as launchers:
        until(lambda: len(host.curve()) >= 2, 90)
        os.kill(pid_of(tmp_path / "node-1" / "work"), signal.SIGKILL)
        began = time.monotonic()
        codes = [launcher.wait(40) for launcher in launchers]
        took = time.monotonic() - began

    assert codes == [1, 1]
    assert took < 20
    assert "A process of the training ended" in host.finished[-1].error.message
    assert host.checkpoints == []
