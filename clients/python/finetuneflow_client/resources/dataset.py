"""Datasets: examples made of documents or of a file, and their frozen versions."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from finetuneflow.dataset.v1 import dataset_pb2, dataset_service_pb2, review_pb2, transfer_pb2
from finetuneflow_client import names, watch
from finetuneflow_client.downloads import download_dataset
from finetuneflow_client.errors import FtfError
from finetuneflow_client.exports import export_dataset
from finetuneflow_client.filling import filled
from finetuneflow_client.resources.example import Example
from finetuneflow_client.resources.html import facts
from finetuneflow_client.resources.resource import Working

_FREEZE_SECONDS = 600


class Dataset(Working):
    """Examples to learn from."""

    message: dataset_pb2.Dataset

    @property
    def version(self) -> int:
        """The newest frozen version; 0 before the first."""
        return self.message.versions[-1].version if self.message.versions else 0

    async def refresh(self) -> Dataset:
        """Ask the server how it is now. Raises FtfError NOT_FOUND."""
        request = dataset_service_pb2.GetDatasetRequest(name=self.name)
        self.message = await self._services.dataset.GetDataset(request)
        return self

    async def watch(self) -> AsyncIterator[Dataset]:
        """Yield the dataset now and at every change until its work has ended or is paused."""
        async for message in watch.watch_dataset(self._services, self.name):
            self.message = message
            yield self

    async def wait(self) -> Dataset:
        """Wait until its work has ended. Raises WorkFailed, WorkPaused or WorkCancelled."""
        async for _ in self.watch():
            pass
        self._raise_error()
        return self

    async def freeze(self, *, approved_only: bool = False) -> Dataset:
        """Make a version of the examples as they are; if nothing changed, the last version stays.

        Args:
            approved_only: take only examples that a person has approved.

        Raises:
            FtfError: FAILED_PRECONDITION with reason NO_ACCEPTED_EXAMPLES or DATASET_NOT_READY.
        """
        request = dataset_service_pb2.FreezeDatasetRequest(name=self.name, approved_only=approved_only)
        self.message = await self._services.dataset.FreezeDataset(request, timeout=_FREEZE_SECONDS)
        return self

    async def examples(self, filter: str = "", *, sources: bool = False) -> AsyncIterator[Example]:
        """Yield its examples, in the order in which they were asked for.

        Args:
            filter: AIP-160, such as 'accepted = false'; "" means the accepted ones, "*" all.
            sources: fetch the chunk of each too, if it is still there, so that a notebook shows the evidence in it.

        Raises:
            FtfError: INVALID_ARGUMENT for a bad filter.
        """
        before = None
        async for message in self._services.examples(self.name, filter):
            example = Example(self._services, message)
            if sources:
                await example._take_source(before)
            before = example
            yield example

    async def example(self, id: str) -> Example:
        """Return one example. Raises FtfError NOT_FOUND."""
        request = dataset_service_pb2.GetExampleRequest(name=names.full("examples", id, self.name))
        return Example(self._services, await self._services.dataset.GetExample(request))

    async def review(self, filter: str, action: Literal["approve", "reject", "reset"]) -> int:
        """Decide about every example that a filter chooses; return how many changed. Errors: as examples().

        Approving takes in examples that a check dropped; a filter with `accepted = true AND …` leaves these out.
        """
        request = filled(review_pb2.ReviewExamplesRequest(parent=self.name, filter=filter), {"action": action})
        return (await self._services.dataset.ReviewExamples(request)).changed

    async def download(
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
        found = next((v for v in reversed(self.message.versions) if version in (0, v.version)), None)
        if found is None:
            raise FtfError(f"{self.name} has no such version", "freeze() makes one", code="FAILED_PRECONDITION")
        return await download_dataset(self._services, self.name, found, Path(path), progress)

    async def export(
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
        request = transfer_pb2.ExportDatasetRequest(name=self.name, version=version)
        filled(request, {"format": format, "encoding": encoding, "split": split})
        filled(request, {"with_source": with_source, "from_reviews": from_reviews})
        return (await export_dataset(self._services, request, lambda _: Path(path), progress))[1]

    async def problems(self) -> AsyncIterator[Mapping[str, Any]]:
        """Yield what an import left out: "row", "column", "reason" and "message" of each."""
        request = transfer_pb2.DownloadImportReportRequest(name=self.name)
        data = b"".join([part.data async for part in self._services.dataset.DownloadImportReport(request)])
        for line in data.splitlines():
            yield json.loads(line)

    async def cancel(self) -> None:
        """Stop generation and keep the examples made. Raises FtfError NOT_FOUND."""
        request = dataset_service_pb2.CancelDatasetRequest(name=self.name)
        self.message = await self._services.dataset.CancelDataset(request)

    async def pause(self) -> None:
        """Ask the LLM nothing more and keep everything made, until resume(). Raises FtfError as PauseDataset does."""
        request = dataset_service_pb2.PauseDatasetRequest(name=self.name)
        self.message = await self._services.dataset.PauseDataset(request)

    async def resume(self) -> None:
        """Go on generating after a pause, a failure or cancel(). Raises FtfError as ResumeDataset does."""
        request = dataset_service_pb2.ResumeDatasetRequest(name=self.name)
        self.message = await self._services.dataset.ResumeDataset(request)

    async def delete(self) -> None:
        """Delete it and its examples; runs that used it keep their record. Raises FtfError NOT_FOUND."""
        await self._services.dataset.DeleteDataset(dataset_service_pb2.DeleteDatasetRequest(name=self.name))

    def _repr_html_(self) -> str:
        """Return it for a notebook: its stages, each with what it dropped and why, and its newest version's sides."""
        known: dict[str, object] = {"dataset": self.name, "state": self.state, "error": self.error or ""}
        for count in self.message.counts:
            dropped = ", ".join(f"{drop.count:,} {drop.reason}" for drop in count.dropped)
            known[count.stage] = f"{getattr(count, 'in'):,} in, {count.out:,} out" + (
                dropped and f"; dropped {dropped}"
            )
        for version in self.message.versions[-1:]:
            sides = f"{version.train_examples:,} train, {version.eval_examples:,} eval"
            recalled = f", {version.recall_examples:,} recall" if version.recall_examples else ""
            known[f"version {version.version}"] = sides + recalled
        return facts(known)
