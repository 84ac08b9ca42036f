"""What the trainer's tests share."""

from __future__ import annotations

from pathlib import Path

import pytest

from finetuneflow.training.v1 import run_pb2
from services.trainer.config import Launch, Patience
from tests.fakes.worker_host import LAUNCH_TOKEN, WorkerHost

QUICK = Patience(begin=10, call=10, drain=20, ack=1.0, flush=0.02, heartbeat=0.05, backoff_first=0.01, backoff_last=0.1)
"""Patience for tests: seconds, not minutes."""


@pytest.fixture
def objects(tmp_path: Path) -> Path:
    """Folder of the granted objects."""
    return tmp_path / "objects"


def launch(host: WorkerHost, folder: Path, pod: str = "pod-1") -> Launch:
    """A launch for the host's work."""
    return Launch(address=host.address, work=host.work, pod_uid=pod, token=LAUNCH_TOKEN, folder=folder)


def any_spec() -> run_pb2.TrainSpec:
    """A spec for tests that do not look at it."""
    return run_pb2.TrainSpec(run="projects/p/runs/r")
