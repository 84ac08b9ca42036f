"""Base models that come with the work: files of an uploaded model, fetched to the node before they are loaded."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path

from finetuneflow.export.v1 import export_pb2
from finetuneflow.training.v1 import chat_worker_service_pb2, run_pb2
from services.trainer.config import Patience
from services.trainer.transfer import fetch, sha256_file

Spec = run_pb2.TrainSpec | export_pb2.ExportSpec | chat_worker_service_pb2.ChatSpec
"""What a Job is asked to do, of each kind that needs a base model."""


def location_of(spec: Spec, folder: Path) -> str:
    """Return where the base model is: its folder or hub id, or for an uploaded one the folder that fetch_base fills."""
    return spec.model_location or str(folder / "base")


def is_offline(spec: Spec) -> bool:
    """Whether no hub is needed for the base model."""
    return not spec.model_location or os.path.isabs(spec.model_location)


def fetch_base(spec: Spec, folder: Path, patience: Patience, again: Callable[[], Spec] | None = None) -> None:
    """Fetch an uploaded model's files into the folder of location_of; those that are there and whole are kept.

    Args:
        spec: names the files.
        folder: the work's.
        patience: how long to repeat.
        again: returns the spec again, with URLs that are good for another while.

    Raises:
        NotReady, Unavailable, Exhausted: as transfer.fetch.
    """
    for place, (file, url) in enumerate(zip(spec.model_files, spec.model_urls, strict=True)):
        target = folder / "base" / file.filename
        if target.is_file() and target.stat().st_size == file.size_bytes and sha256_file(target) == file.sha256:
            continue
        renew = functools.partial(_url, again, place) if again else None
        fetch(url, file.sha256, target, patience, f"Model file {file.filename}", renew)


def _url(again: Callable[[], Spec], place: int) -> str:
    return again().model_urls[place]
