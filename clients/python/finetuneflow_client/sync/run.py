"""Runs: a training each, and what it came to; blocking.

Made of resources/run.py by clients/python/generate.py; do not edit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

from finetuneflow.training.v1 import run_pb2
from finetuneflow_client import resources
from finetuneflow_client.blocking import iterate, run
from finetuneflow_client.errors import FtfError
from finetuneflow_client.resources.metric import Metric
from finetuneflow_client.sync.export import Export
from finetuneflow_client.sync.resource import Working


class Run(Working):
    """A training on one frozen dataset version."""

    of: resources.run.Run

    @property
    def message(self) -> run_pb2.Run:
        """What the server told: the contract's message, with every field."""
        return self.of.message

    @property
    def loss(self) -> float | None:
        """Training loss at its end, or the newest one that was watched or told; None before the first."""
        return self.of.loss

    @property
    def curve(self) -> list[Metric]:
        """Its numbers by step: once it has ended, in at most 1,000 points; before, some of those that were watched."""
        return self.of.curve

    def refresh(self) -> Run:
        """Ask the server how it is now. Raises FtfError NOT_FOUND."""
        return Run(run(self.of.refresh()))

    def watch(
        self, after_seq: int = 0, *, patience: float = 900, away: Callable[[FtfError], None] | None = None
    ) -> Iterator[Metric]:
        """Yield the run's numbers, each once and in order, until it has ended; the run is up to date then.

        A connection that breaks off is taken up where it was, and a server that is away is waited for.

        Args:
            after_seq: seq of the last metric seen; 0 yields all.
            patience: seconds to wait for a server that is away.
            away: called with the error each time that the connection is lost.

        Raises:
            FtfError: NOT_FOUND; WorkFailed, WorkPaused or WorkCancelled at the end of a run that did not succeed; the
                last error when patience is at an end.
        """
        return iterate(self.of.watch(after_seq, patience=patience, away=away))

    def wait(self) -> Run:
        """Wait until it has ended. Raises WorkFailed, WorkPaused or WorkCancelled."""
        return Run(run(self.of.wait()))

    def logs(self, *, follow: bool = False) -> Iterator[str]:
        """Yield the trainer's log lines, oldest first; with `follow` until the run has ended, whatever breaks off."""
        return iterate(self.of.logs(follow=follow))

    def export(
        self,
        format: Literal["adapter", "merged", "gguf", "awq", "onnx"],
        *,
        quantization: str | None = None,
        id: str = "",
        accept_forgetting: bool = False,
        max_shard_bytes: int | None = None,
    ) -> Export:
        """Begin to make weights to take away; Export.download waits for them.

        Args:
            format: the adapter alone, the merged model, or that as one file for llama.cpp, in 4 bits for vLLM, or as a
                graph for ONNX Runtime.
            quantization: of "gguf": "Q8_0" (the default), "Q4_K_M", "F16", …
            id: last part of the export's name; made up if empty.
            accept_forgetting: make it although the run forgot more than its max_forgetting allows.
            max_shard_bytes: of "merged": most bytes of a weights file.

        Raises:
            FtfError: as CreateExport.
        """
        return Export(
            run(
                self.of.export(
                    format,
                    quantization=quantization,
                    id=id,
                    accept_forgetting=accept_forgetting,
                    max_shard_bytes=max_shard_bytes,
                )
            )
        )

    def download(self, folder: str | Path, *, progress: Callable[[str, int, int], None] | None = None) -> list[Path]:
        """Fetch the artifacts of a run that has succeeded (report, plots, adapter), each checked by its hash.

        It does not wait. Args: as Export.download.

        Raises:
            FtfError: FAILED_PRECONDITION before it has ended, and with reason ARTIFACT_CHANGED for an artifact that was
                made anew meanwhile; NOT_FOUND; WorkPaused; otherwise as Export.download.
        """
        return run(self.of.download(folder, progress=progress))

    def cancel(self) -> None:
        """Stop it; if it has ended, nothing changes. Raises FtfError NOT_FOUND."""
        return run(self.of.cancel())

    def pause(self) -> None:
        """Free what it holds and keep everything made, until resume(). Raises FtfError NOT_FOUND."""
        return run(self.of.pause())

    def resume(self) -> None:
        """Go on from the newest checkpoint. Raises FtfError FAILED_PRECONDITION (WORK_ENDED) if it has ended."""
        return run(self.of.resume())

    def delete(self) -> None:
        """Delete it with its checkpoints and artifacts; a live one is stopped first. Raises FtfError NOT_FOUND."""
        return run(self.of.delete())

    def _repr_html_(self) -> str:
        """Return it for a notebook: its facts and the curve of its loss."""
        return self.of._repr_html_()
