"""A run that begins from another run's checkpoint: with all of it, or with its weights alone."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from finetuneflow.training.v1 import config_pb2, run_pb2
from services.common.statuses import from_status
from tests.fakes.worker_host import WorkerHost
from tests.trainer.runs import config, rows, run_here, train_spec, write_dataset

SAME: dict[str, Any] = {"lr_scheduler_type": "constant", "warmup_ratio": 0.0, "num_eval_answers": 0}


@pytest.fixture(scope="module", params=["lora", "full"])
def eight(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, model: Path
) -> Iterator[WorkerHost]:
    """Eight steps, uninterrupted."""
    folder = tmp_path_factory.mktemp(request.param)
    dataset = write_dataset(folder / "dataset.jsonl", rows())
    full = {"method": config_pb2.METHOD_FULL, "lora": None, "learning_rate": 1e-3} if request.param == "full" else {}
    with WorkerHost(folder / "objects", train_spec(dataset, model, config(**SAME, **full))) as host:
        assert run_here(host, folder / "work") == 0
        yield host


def begun(
    host: WorkerHost, folder: Path, step: int, *, weights_only: bool = False, **changes: Any
) -> tuple[int, WorkerHost]:
    """Do a run that begins from a checkpoint of another; return its exit code."""
    shutil.copytree(host.folder, folder / "objects")
    spec = run_pb2.TrainSpec()
    spec.CopyFrom(host.spec)
    spec.begins_from_other, spec.weights_only = True, weights_only
    spec.config.MergeFrom(config_pb2.TrainingConfig(**changes))
    with WorkerHost(folder / "objects", spec) as other:
        other.pods.append("pod-0")
        other.checkpoints = [c for c in host.checkpoints if c.step == step]
        return run_here(other, folder / "work", pod="pod-1"), other


def test_with_all_of_a_checkpoint_the_training_goes_on_as_if_it_had_never_stopped(
    eight: WorkerHost, tmp_path: Path
) -> None:
    """Longer than it was to be: the steps that both did are the same, to the last digit."""
    code, other = begun(eight, tmp_path, 6, max_steps=10)
    result = run_pb2.RunResult()
    other.finished[-1].result.Unpack(result)

    assert code == 0
    assert [p[1:] for p in other.curve()][:2] == [p[1:] for p in eight.curve()][6:]
    assert [step for _, step, _ in other.curve()] == [7, 8, 9, 10]
    assert {r.metrics.total_steps for r in other.reports if r.HasField("metrics")} == {10}
    assert result.steps == 10


def test_with_its_weights_alone_the_training_begins_anew(eight: WorkerHost, tmp_path: Path) -> None:
    """At step 1, with optimizer and schedule as new; steps too small to count leave the weights as they were."""
    import torch
    from safetensors.torch import load_file

    code, other = begun(eight, tmp_path, 6, weights_only=True, learning_rate=1e-12, max_steps=1)
    name = next(f for f in other.checkpoints[0].files if f.filename.endswith("model.safetensors")).filename
    kept, before = (load_file(host.folder / key(host, step, name)) for host, step in ((other, 1), (eight, 6)))

    assert code == 0
    assert [step for _, step, _ in other.curve()] == [1]
    assert kept.keys() == before.keys()
    assert all(torch.allclose(kept[tensor], before[tensor], atol=1e-9) for tensor in kept)
    assert other.curve()[0][2] < eight.curve()[0][2]


def key(host: WorkerHost, step: int, filename: str) -> str:
    """Key of a file of the newest checkpoint of a step."""
    found = next(c for c in reversed(host.checkpoints) if c.step == step)
    return next(f.key for f in found.files if f.filename == filename)


def test_a_checkpoint_that_leaves_nothing_to_train_is_refused(eight: WorkerHost, tmp_path: Path) -> None:
    """Where the number of steps follows from the epochs, the trainer is the first to know."""
    code, other = begun(eight, tmp_path, 8, max_steps=-1, num_train_epochs=1.0)

    assert code == 3
    assert from_status(other.finished[-1].error).reason == "CHECKPOINT_MISMATCH"
