"""Datasets: examples made of documents or of a file, and their frozen versions; blocking.

Made of resources/dataset.py by clients/python/generate.py; do not edit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from finetuneflow.dataset.v1 import dataset_pb2
from finetuneflow_client import resources
from finetuneflow_client.blocking import iterate, run
from finetuneflow_client.sync.example import Example
from finetuneflow_client.sync.resource import Working


class Dataset(Working):
    """Examples to learn from."""

    of: resources.dataset.Dataset

    @property
    def message(self) -> dataset_pb2.Dataset:
        """What the server told: the contract's message, with every field."""
        return self.of.message

    @property
    def version(self) -> int:
        """The newest frozen version; 0 before the first."""
        return self.of.version

    def refresh(self) -> Dataset:
        """Ask the server how it is now. Raises FtfError NOT_FOUND."""
        return Dataset(run(self.of.refresh()))

    def watch(self) -> Iterator[Dataset]:
        """Yield the dataset now and at every change until its work has ended or is paused."""
        return map(Dataset, iterate(self.of.watch()))

    def wait(self) -> Dataset:
        """Wait until its work has ended. Raises WorkFailed, WorkPaused or WorkCancelled."""
        return Dataset(run(self.of.wait()))

    def freeze(self, *, approved_only: bool = False) -> Dataset:
        """Make a version of the examples as they are; if nothing changed, the last version stays.

        Args:
            approved_only: take only examples that a person has approved.

        Raises:
            FtfError: FAILED_PRECONDITION with reason NO_ACCEPTED_EXAMPLES or DATASET_NOT_READY.
        """
        return Dataset(run(self.of.freeze(approved_only=approved_only)))

    def examples(self, filter: str = "", *, sources: bool = False) -> Iterator[Example]:
        """Yield its examples, in the order in which they were asked for.

        Args:
            filter: AIP-160, such as 'accepted = false'; "" means the accepted ones, "*" all.
            sources: fetch the chunk of each too, if it is still there, so that a notebook shows the evidence in it.

        Raises:
            FtfError: INVALID_ARGUMENT for a bad filter.
        """
        return map(Example, iterate(self.of.examples(filter, sources=sources)))

    def example(self, id: str) -> Example:
        """Return one example. Raises FtfError NOT_FOUND."""
        return Example(run(self.of.example(id)))

    def review(self, filter: str, action: Literal["approve", "reject", "reset"]) -> int:
        """Decide about every example that a filter chooses; return how many changed. Errors: as examples().

        Approving takes in examples that a check dropped; a filter with `accepted = true AND …` leaves these out.
        """
        return run(self.of.review(filter, action))

    def download(
        self, path: str | Path, *, version: int = 0, progress: Callable[[int, int], None] | None = None
    ) -> Path:
        """Fetch a frozen version's JSON Lines as a file, checked by its hash.

        Args:
            path: the file; folders above it are made.
            version: which one; 0 for the newest.
            progress: called with bytes there and bytes in all.

        Raises:
            FtfError: FAILED_PRECONDITION without such a version; DATA_LOSS; RESOURCE_EXHAUSTED.
        """
        return run(self.of.download(path, version=version, progress=progress))

    def export(
        self,
        path: str | Path,
        format: Literal["alpaca", "sharegpt", "messages", "prompt_completion", "preference", "kto", "text"],
        *,
        encoding: Literal["jsonl", "csv", "parquet"] = "jsonl",
        version: int = 0,
        split: Literal["train", "eval", "recall"] | None = None,
        with_source: bool = False,
        from_reviews: bool = False,
        progress: Callable[[int, int], None] | None = None,
    ) -> Path:
        """Fetch a frozen version in the form of another program. Args and errors: as ExportDataset and download()."""
        return run(
            self.of.export(
                path,
                format,
                encoding=encoding,
                version=version,
                split=split,
                with_source=with_source,
                from_reviews=from_reviews,
                progress=progress,
            )
        )

    def problems(self) -> Iterator[Mapping[str, Any]]:
        """Yield what an import left out: "row", "column", "reason" and "message" of each."""
        return iterate(self.of.problems())

    def cancel(self) -> None:
        """Stop generation and keep the examples made. Raises FtfError NOT_FOUND."""
        return run(self.of.cancel())

    def pause(self) -> None:
        """Ask the LLM nothing more and keep everything made, until resume(). Raises FtfError as PauseDataset does."""
        return run(self.of.pause())

    def resume(self) -> None:
        """Go on generating after a pause, a failure or cancel(). Raises FtfError as ResumeDataset does."""
        return run(self.of.resume())

    def delete(self) -> None:
        """Delete it and its examples; runs that used it keep their record. Raises FtfError NOT_FOUND."""
        return run(self.of.delete())

    def _repr_html_(self) -> str:
        """Return it for a notebook: its stages, each with what it dropped and why, and its newest version's sides."""
        return self.of._repr_html_()
