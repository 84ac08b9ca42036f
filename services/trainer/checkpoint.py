"""Checkpoints as folders: which of their files travel, and how one comes back."""

from __future__ import annotations

import functools
import json
from pathlib import Path

from finetuneflow.common.v1 import worker_service_pb2 as pb
from services.common.errors import Unavailable
from services.trainer.attempt import Attempt
from services.trainer.transfer import fetch

INITIAL = "initial_adapter_model.safetensors"
"""The adapter that a training began with, where it was no empty one."""

_WEIGHTS = (
    "adapter_model.safetensors",
    "adapter_config.json",
    "model*.safetensors",
    "model.safetensors.index.json",
)
_TRAVELS = (
    INITIAL,
    *_WEIGHTS,
    "optimizer.pt",
    "scheduler.pt",
    "scaler.pt",
    "rng_state*.pth",
    "trainer_state.json",
    "ftf_state.json",
)
"""What a resume reads; of the model only what is trained. The pickled arguments do not travel."""


def travelling(folder: Path) -> list[Path]:
    """Return the files of a checkpoint's folder that a resume needs."""
    return sorted(path for pattern in _TRAVELS for path in folder.glob(pattern))


def weights(folder: Path) -> list[Path]:
    """Return the files of a checkpoint's folder that hold what is trained."""
    return sorted(path for pattern in _WEIGHTS for path in folder.glob(pattern))


def fetch_checkpoint(attempt: Attempt, checkpoint: pb.Checkpoint, folder: Path) -> Path:
    """Bring a complete checkpoint into a folder, each file checked, and return where it is.

    Raises:
        NotReady: with reason HASH_MISMATCH if a file is not the one that was recorded.
        Unavailable: the store is away.
    """
    target = folder / f"checkpoint-{checkpoint.step}"
    for place, (file, url) in enumerate(zip(checkpoint.files, checkpoint.urls, strict=True)):
        what = f"Checkpoint {checkpoint.step}: {file.filename}"
        again = attempt.renewal(functools.partial(_again, attempt, checkpoint, place))
        fetch(url, file.sha256, target / file.filename, attempt.patience, what, again)
    return target


def _again(attempt: Attempt, checkpoint: pb.Checkpoint, place: int) -> str:
    """Return a fresh URL of one of a checkpoint's files."""
    begun = attempt.begun_again()
    for fresh in (begun.checkpoint, begun.best_checkpoint):
        if (fresh.step, fresh.attempt) == (checkpoint.step, checkpoint.attempt):
            return fresh.urls[place]
    raise Unavailable(f"The checkpoint of step {checkpoint.step} is no longer kept. Start the run again.")


def steps_of(folder: Path) -> tuple[int, int]:
    """Return the steps done and the steps in all of a checkpoint's folder."""
    state = json.loads((folder / "trainer_state.json").read_text(encoding="utf-8"))
    return int(state["global_step"]), int(state["max_steps"])


def name_base(folder: Path, name: str) -> None:
    """Make an adapter's configuration name its base model, where the library wrote a path of this machine.

    Its modules are put in order: the library writes them as a set, so that equal adapters would hash differently.
    """
    path = folder / "adapter_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config["base_model_name_or_path"] = name
    if isinstance(config.get("target_modules"), list):
        config["target_modules"].sort()
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
