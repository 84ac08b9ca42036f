"""Files to the object store: a run's artifacts at its end, and checkpoints while training goes on."""

from __future__ import annotations

import logging
import shutil
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from finetuneflow.common.v1 import artifact_pb2
from finetuneflow.common.v1 import worker_service_pb2 as pb
from services.common.errors import FineTuneFlowError, Unavailable
from services.trainer.config import Patience
from services.trainer.transfer import send, send_parts, sha256_file
from services.trainer.worker import Worker

log = logging.getLogger(__name__)


def upload(worker: Worker, path: Path, folder: str, filename: str, patience: Patience) -> artifact_pb2.Artifact:
    """Write one file to where the service grants it, and return it with its hash.

    Args:
        worker: the line to the service.
        path: the file.
        folder: what its key begins with, so that checkpoints and artifacts stay apart.
        filename: its name as an artifact.
        patience: how long to repeat.
    """
    name, size = f"{folder}/{filename}", path.stat().st_size
    sha256 = sha256_file(path)
    granted = worker.grant(name, size)
    if granted.part_urls:
        send_parts(path, granted, patience, lambda: worker.grant(name, size, granted.upload))
    else:
        # Granted again, it has the same key.
        send(path, granted.url, patience, lambda: worker.grant(name, size).url)
    return artifact_pb2.Artifact(filename=filename, size_bytes=size, sha256=sha256, key=granted.key)


def upload_all(
    worker: Worker, root: Path, paths: Sequence[Path], patience: Patience, progress: Callable[[int, int], None]
) -> list[artifact_pb2.Artifact]:
    """Write files below a root, named by their relative paths; `progress` hears the bytes done and in all."""
    total = sum(path.stat().st_size for path in paths)
    artifacts: list[artifact_pb2.Artifact] = []
    progress(0, total)
    for path in paths:
        artifacts.append(upload(worker, path, "artifacts", path.relative_to(root).as_posix(), patience))
        progress(sum(a.size_bytes for a in artifacts), total)
    return artifacts


@dataclass(frozen=True)
class Saved:
    """A checkpoint on this machine.

    Args:
        step: steps done.
        folder: where it lies; gone once it is uploaded.
        files: those that travel.
        metrics, best, diverging: see Checkpoint in the contract.
    """

    step: int
    folder: Path
    files: tuple[Path, ...]
    metrics: Mapping[str, float] = field(default_factory=dict)
    best: bool = False
    diverging: bool = False

    def overtakes(self, other: Saved) -> bool:
        """Whether nobody needs an older one any more that still waits."""
        return (self.best or not other.best) and (other.diverging or not self.diverging)


class CheckpointUploads:
    """Uploads checkpoints in the background; one that a newer one overtakes while it waits is dropped.

    A checkpoint is recorded only after the reports of its steps are stored: the attempt that goes on from it does not
    make them again. One that cannot be uploaded costs a warning, never the training. Its local folder goes either way;
    the newest one's stays after a failure until `wait` has tried it once more.

    Args:
        worker: the line to the service.
        patience: how long to repeat.
        stored: waits until the reports made so far are stored, so many seconds at most; returns whether they are.
    """

    def __init__(self, worker: Worker, patience: Patience, stored: Callable[[float], bool]) -> None:
        self._worker = worker
        self._patience = patience
        self._stored = stored
        self._changed = threading.Condition()
        self._waiting: list[Saved] = []
        self._newest: Saved | None = None
        self._failed: Saved | None = None
        self._repeats = False
        self._busy = False
        self._closed = False
        self._cpu = 0.0
        self._thread = threading.Thread(target=self._run, name="checkpoints", daemon=True)

    def start(self) -> None:
        """Begin to upload."""
        self._thread.start()

    def submit(self, saved: Saved) -> None:
        """Upload a checkpoint, soon."""
        with self._changed:
            overtaken = [other for other in self._waiting if saved.overtakes(other)]
            self._waiting = [*(other for other in self._waiting if other not in overtaken), saved]
            failed, self._failed, self._newest, self._repeats = self._failed, None, saved, False
            self._changed.notify_all()
        for other in (*overtaken, *([failed] if failed else [])):
            shutil.rmtree(other.folder, ignore_errors=True)

    def wait(self) -> bool:
        """Wait until nothing is left to upload, at most `Patience.call`; return whether the newest one is stored.

        One whose upload failed is tried once more first. Without any checkpoint there is nothing to store.
        """
        end = time.monotonic() + self._patience.call
        with self._changed:
            if self._settled(end) and self._failed and not self._repeats:
                self._waiting, self._failed, self._repeats = [self._failed], None, True
                self._changed.notify_all()
            return self._settled(end) and self._failed is None

    def _settled(self, end: float) -> bool:
        left = max(0.0, end - time.monotonic())
        return self._changed.wait_for(lambda: not self._waiting and not self._busy, left)

    def close(self) -> None:
        """End the thread after the upload at hand."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join(timeout=5)
        if self._failed:
            shutil.rmtree(self._failed.folder, ignore_errors=True)

    def cpu_seconds(self) -> float:
        """Return the processor time that uploading has used."""
        return self._cpu

    def _run(self) -> None:
        while True:
            with self._changed:
                self._busy = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._closed or bool(self._waiting))
                if self._closed:
                    return
                saved, self._busy = self._waiting.pop(0), True
            stored = self._upload(saved)
            with self._changed:
                kept = not stored and saved is self._newest
                self._failed = saved if kept else self._failed
                kept = kept and not self._repeats
            if not kept:
                shutil.rmtree(saved.folder, ignore_errors=True)
            self._cpu = time.thread_time()

    def _upload(self, saved: Saved) -> bool:
        try:
            name = f"checkpoint-{saved.step}"
            files = [upload(self._worker, path, name, path.name, self._patience) for path in saved.files]
            if not self._stored(self._patience.call):
                raise Unavailable("the reports of its steps could not be stored.")
            self._worker.complete_checkpoint(
                pb.Checkpoint(
                    step=saved.step, files=files, metrics=saved.metrics, best=saved.best, diverging=saved.diverging
                )
            )
        except FineTuneFlowError as error:
            log.warning("The checkpoint of step %d was not stored: %s", saved.step, error)
            return False
        except OSError as error:
            log.warning("The checkpoint of step %d was not stored (%s).", saved.step, error.strerror)
            return False
        log.info("Checkpoint of step %d is stored.", saved.step)
        return True


class NoUploads(CheckpointUploads):
    """For a process whose checkpoints another one uploads."""

    def __init__(self) -> None:
        """Start nothing."""

    def start(self) -> None:
        """See CheckpointUploads."""

    def wait(self) -> bool:
        """See CheckpointUploads."""
        return True

    def close(self) -> None:
        """See CheckpointUploads."""

    def cpu_seconds(self) -> float:
        """See CheckpointUploads."""
        return 0.0
