"""Trackers: TensorBoard's files of a real run, and what is refused before anything is loaded."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from tensorboardX.proto.event_pb2 import Event

from finetuneflow.training.v1 import config_pb2
from services.common.errors import InvalidArgument, NotReady
from services.common.trackers import check_names, require
from services.trainer.reporter import Orders
from services.trainer.settings import sft_config
from services.trainer.tracking import tracking
from tests.fakes.worker_host import WorkerHost
from tests.trainer.runs import config, rows, run_here, train_spec, until, when, write_dataset


def scalars(path: Path) -> dict[str, dict[int, float]]:
    """Every number of an event file: tag → step → value. A record is its length, a checksum, the event, a checksum."""
    found: dict[str, dict[int, float]] = {}
    data = path.read_bytes()
    while data:
        (length,) = struct.unpack("<Q", data[:8])
        event = Event.FromString(data[12 : 12 + length])
        for value in event.summary.value:
            found.setdefault(value.tag, {})[event.step] = value.simple_value
        data = data[16 + length :]
    return found


def test_event_files_have_the_curve_of_a_run_that_was_interrupted(tmp_path: Path, objects: Path, model: Path) -> None:
    """Every step's loss, those before the interruption too; nothing of this machine."""
    spec = train_spec(write_dataset(tmp_path / "data.jsonl", rows()), model, config(report_to=["tensorboard"]))
    with WorkerHost(objects, spec) as host:
        orders = Orders()
        with when(lambda: len(host.curve()) >= 4, orders.terminate):
            interrupted = run_here(host, tmp_path / "work", orders=orders)
        finished = run_here(host, tmp_path / "work", pod="pod-2")
        until(lambda: bool(host.finished))
        names = [a.filename for a in host.finished[-1].artifacts if "tfevents" in a.filename]
        path = host.artifact(names[0])
        losses = {step: loss for _, step, loss in host.curve()}

    found = scalars(path)
    assert (interrupted, finished) == (143, 0)
    assert names == ["tensorboard/events.out.tfevents.0000000000"]
    assert found["train/loss"] == pytest.approx(losses, abs=1e-5)
    assert set(found["train/learning_rate"]) < set(losses)
    assert b"/tmp" not in path.read_bytes()


def test_a_training_with_nothing_left_to_train_has_its_curve_too(tmp_path: Path) -> None:
    """As after a kill in the evaluation at its end; one that trained is left as it is."""
    (tracker,) = tracking(config(report_to=["tensorboard"]), tmp_path / "new", [2.0, 1.5, 1.0])
    tracker.complete()
    tracker.complete()
    (path,) = (tmp_path / "new").iterdir()

    assert path.name == "events.out.tfevents.0000000000"
    assert scalars(path) == {"train/loss": {1: 2.0, 2: 1.5, 3: 1.0}}


def test_others_are_the_librarys_own_and_off_by_default(tmp_path: Path) -> None:
    """By TRL's names; TensorBoard is ours, so that its files are among the artifacts."""
    chosen = config_pb2.TrainingConfig(report_to=["tensorboard", "mlflow", "wandb"])

    assert sft_config(chosen, tmp_path, gpu=False, bf16=False).report_to == ["mlflow", "wandb"]
    assert sft_config(config_pb2.TrainingConfig(), tmp_path, gpu=False, bf16=False).report_to == []


@pytest.mark.parametrize(
    ("name", "environment", "reason"),
    [
        ("tensorboard", {}, ""),
        ("mlflow", {}, "TRACKER_NO_HOST"),
        ("mlflow", {"MLFLOW_TRACKING_URI": "http://127.0.0.1:5000"}, ""),
        ("wandb", {"WANDB_API_KEY": "k"}, "TRACKER_NO_HOST"),
        ("wandb", {"WANDB_BASE_URL": "http://127.0.0.1:8080"}, ""),
        ("wandb", {"WANDB_MODE": "offline"}, ""),
        ("trackio", {}, "TRACKER_NO_HOST"),
        ("trackio", {"TRACKIO_DIR": "/data"}, ""),
    ],
)
def test_nothing_is_sent_to_a_host_that_nobody_named(name: str, environment: dict[str, str], reason: str) -> None:
    """A public service is a host to name like any other; a package that is missing is said first."""
    with pytest.raises(NotReady) as missing:
        require([name], lambda package: False, environment)
    found = ""
    try:
        require([name], lambda package: True, environment)
    except NotReady as error:
        found = error.reason

    assert missing.value.reason == "TRACKER_MISSING"
    assert found == reason


def test_only_trackers_are_named() -> None:
    """Each once; "none" is none."""
    with pytest.raises(InvalidArgument, match="Use one or more of tensorboard"):
        check_names(["clearml"])

    assert check_names(["tensorboard", "none", "tensorboard"]) == ["tensorboard"]


def test_a_run_that_cannot_report_fails_before_it_loads(tmp_path: Path, objects: Path, model: Path) -> None:
    """With the reason and for good: no retry would help."""
    from services.common.statuses import from_status

    spec = train_spec(write_dataset(tmp_path / "data.jsonl", rows()), model, config(report_to=["trackio"]))
    with WorkerHost(objects, spec) as host:
        code = run_here(host, tmp_path / "work")
        error = from_status(host.finished[-1].error)

    assert (code, error.reason) == (3, "TRACKER_MISSING")
    assert host.phases() == ["load"]
