"""A small run for tests: the tiny model, a dataset of 14 examples, and ways to start the trainer on them."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from finetuneflow.export.v1 import export_pb2
from finetuneflow.training.v1 import config_pb2, run_pb2
from services.trainer.config import Launch, Patience
from services.trainer.logs import Log
from services.trainer.program import run
from services.trainer.reporter import Orders
from tests.fakes.tiny_model import ENGLISH
from tests.fakes.worker_host import LAUNCH_TOKEN, WorkerHost

QUICK = Patience(begin=10, call=10, drain=20, ack=1.0, flush=0.02, heartbeat=0.05, backoff_first=0.01, backoff_last=0.1)
"""Patience for tests: seconds, not minutes."""

STEPS = 8


def rows(train: int = 10, held_out: int = 2) -> list[dict[str, Any]]:
    """Lines of a dataset: some to train on, and as many held out as kept back."""
    splits = ["TRAIN"] * train + ["EVAL"] * held_out + ["RECALL"] * held_out
    return [
        {
            "id": f"e{n}",
            "split": split,
            "messages": [
                {"role": "user", "content": f"Question {n}: what stands there?"},
                {"role": "assistant", "content": ENGLISH[n % len(ENGLISH)]},
            ],
            "source": {"chunk": f"c{n}"},
        }
        for n, split in enumerate(splits)
    ]


def write_dataset(path: Path, lines: list[dict[str, Any]]) -> Path:
    """Write lines as JSON Lines."""
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def config(**settings: Any) -> config_pb2.TrainingConfig:
    """Eight steps at a rate that shows, with a checkpoint every three."""
    lora = config_pb2.LoraConfig(r=4, lora_alpha=8, lora_dropout=0.1)
    chosen: dict[str, Any] = {
        "lora": lora,
        "learning_rate": 0.02,
        "max_steps": STEPS,
        "per_device_train_batch_size": 2,
        "gradient_accumulation_steps": 2,
        "max_length": 128,
        "save_steps": 3,
        "seed": 7,
    }
    return config_pb2.TrainingConfig(**{**chosen, **settings})


def train_spec(dataset: Path, model: Path, settings: config_pb2.TrainingConfig | None = None) -> run_pb2.TrainSpec:
    """The spec of a run."""
    return run_pb2.TrainSpec(
        run="projects/p/runs/r",
        dataset_url=dataset.as_uri(),
        dataset_sha256=hashlib.sha256(dataset.read_bytes()).hexdigest(),
        model_location=str(model),
        model="models/tiny",
        config=settings or config(),
        dataset="projects/p/datasets/d",
        dataset_version=1,
    )


def export_spec(done: WorkerHost, model: Path, form: export_pb2.Format, **others: Any) -> export_pb2.ExportSpec:
    """The spec of an export of what a finished run left."""
    files = [a for a in done.finished[-1].artifacts if "model" in a.filename or "config.json" in a.filename]
    kept = [a for a in files if not a.filename.startswith("tokenizer")]
    return export_pb2.ExportSpec(
        export="projects/p/exports/x",
        format=form,
        model_location=str(model),
        adapter_files=kept,
        adapter_urls=[done.artifact(a.filename).as_uri() for a in kept],
        manifest_json=json.dumps({"schema": 1, "run": "projects/p/runs/r", "model": {"name": "models/tiny"}}),
        **others,
    )


def launch(host: WorkerHost, folder: Path, pod: str = "pod-1") -> Launch:
    """A launch for the host's work."""
    return Launch(address=host.address, work=host.work, pod_uid=pod, token=LAUNCH_TOKEN, folder=folder)


def run_here(host: WorkerHost, folder: Path, pod: str = "pod-1", command: str = "train", orders: Any = None) -> int:
    """Do the host's work in this process; return the exit code."""
    return run(command, launch(host, folder, pod), QUICK, orders or Orders(), Log([LAUNCH_TOKEN]))


@contextmanager
def started(host: WorkerHost, folder: Path, pod: str = "pod-1", **variables: str) -> Iterator[subprocess.Popen[str]]:
    """The trainer as a process, its output in `folder`/log-`pod`.txt; killed at the end if it still runs."""
    secrets = folder / "secrets"
    secrets.mkdir(parents=True, exist_ok=True)
    (secrets / "launch_token").write_text(LAUNCH_TOKEN, encoding="utf-8")
    environment = {
        **os.environ,
        "FTF_ADDRESS": host.address,
        "FTF_WORK": host.work,
        "FTF_POD_UID": pod,
        "FTF_SECRETS_DIR": str(secrets),
        "FTF_WORK_DIR": str(folder / "work"),
        "OMP_NUM_THREADS": "1",
        "OMP_WAIT_POLICY": "PASSIVE",
        **variables,
    }
    with (folder / f"log-{pod}.txt").open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "services.trainer", "train"],
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.wait()


def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    """Wait for something that another thread or process does."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


@contextmanager
def when(condition: Callable[[], bool], action: Callable[[], None], seconds: float = 60) -> Iterator[None]:
    """Do something as soon as it is time, from another thread, while the body runs."""
    thread = threading.Thread(target=lambda: (until(condition, seconds), action()), daemon=True)
    thread.start()
    yield
    thread.join()
