"""What a project does with examples: have them written, or take them from a file."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Unpack

from finetuneflow.dataset.v1 import dataset_pb2, dataset_service_pb2, transfer_pb2
from finetuneflow_client import names
from finetuneflow_client.filling import filled
from finetuneflow_client.imports import import_dataset
from finetuneflow_client.resources.dataset import Dataset
from finetuneflow_client.resources.documents import WithFiles
from finetuneflow_client.resources.example import Example
from finetuneflow_client.resources.file import File
from finetuneflow_client.resources.llm import Llm
from finetuneflow_client.resources.resource import named
from finetuneflow_client.resources.settings import GenerationSettings, ImportSettings
from finetuneflow_client.resources.template import Template

_PREVIEW_SECONDS = 1800


class WithDatasets(WithFiles):
    """A project, as far as its files and datasets go."""

    async def generate(
        self,
        llm: Llm | str = "",
        *,
        files: Sequence[File | str] = (),
        template: Template | str = "",
        id: str = "",
        wait: bool = True,
        **settings: Unpack[GenerationSettings],
    ) -> Dataset:
        """Have an LLM write examples, and freeze them; files that were never cut are cut with the defaults before.

        Args:
            llm: who writes; empty: the only endpoint there is.
            files: documents to use; none: all.
            template: a prompt template instead of a task type.
            id: last part of the dataset's name; made up if empty.
            wait: False returns the dataset as soon as it is queued; wait() and freeze() are then yours.
            settings: what to generate, by the contract's names.

        Raises:
            FtfError: INVALID_ARGUMENT; FAILED_PRECONDITION; WorkPaused if the LLM is away, WorkFailed, WorkCancelled.
        """
        await self._chunk_new(files)
        request = dataset_service_pb2.CreateDatasetRequest(
            parent=self.name,
            dataset=dataset_pb2.Dataset(display_name=id, spec=self._spec(llm, files, template, settings)),
            dataset_id=id,
        )
        dataset = Dataset(self._services, await self._services.dataset.CreateDataset(request))
        return await (await dataset.wait()).freeze() if wait else dataset

    async def preview(
        self,
        llm: Llm | str = "",
        *,
        files: Sequence[File | str] = (),
        template: Template | str = "",
        calls: int = 3,
        **settings: Unpack[GenerationSettings],
    ) -> list[Example]:
        """Make a few examples and keep none of them; dropped ones come too, with the reason. Args: as generate()."""
        await self._chunk_new(files)
        request = dataset_service_pb2.PreviewExamplesRequest(
            parent=self.name, spec=self._spec(llm, files, template, settings), calls=calls
        )
        found = await self._services.dataset.PreviewExamples(request, timeout=_PREVIEW_SECONDS)
        return [Example(self._services, message) for message in found.examples]

    async def import_dataset(
        self,
        path: str | Path,
        *,
        id: str = "",
        progress: Callable[[int, int], None] | None = None,
        **settings: Unpack[ImportSettings],
    ) -> Dataset:
        """Make a dataset of a file of examples: JSON Lines, CSV or Parquet; wait until it is read and frozen.

        Rows that cannot be used are left out, and Dataset.problems() says why.

        Args:
            path: the file.
            id: last part of the dataset's name; made up if empty.
            progress: called with bytes sent and bytes in all.
            settings: how to read it, by the contract's names.

        Raises:
            FtfError: INVALID_ARGUMENT if the file is refused; ALREADY_EXISTS; WorkFailed if no row can be used.
        """
        spec = dataset_pb2.DatasetSpec()
        own = {name: value for name, value in settings.items() if name in spec.DESCRIPTOR.fields_by_name}
        header = transfer_pb2.ImportHeader(
            parent=self.name, dataset_id=id, dataset=dataset_pb2.Dataset(display_name=id, spec=filled(spec, own))
        )
        filled(header, {name: value for name, value in settings.items() if name not in own})
        dataset = Dataset(self._services, await import_dataset(self._services, header, Path(path), progress))
        return await (await dataset.wait()).refresh()

    async def datasets(self) -> AsyncIterator[Dataset]:
        """Yield its datasets, oldest first."""
        async for message in self._services.datasets(self.name):
            yield Dataset(self._services, message)

    async def dataset(self, id: str) -> Dataset:
        """Return a dataset. Raises FtfError NOT_FOUND."""
        request = dataset_service_pb2.GetDatasetRequest(name=names.full("datasets", id, self.name))
        return Dataset(self._services, await self._services.dataset.GetDataset(request))

    def _spec(
        self, llm: Llm | str, files: Sequence[File | str], template: Template | str, settings: GenerationSettings
    ) -> dataset_pb2.DatasetSpec:
        spec = dataset_pb2.DatasetSpec(
            llm_endpoint=named("llmEndpoints", llm),
            files=[named("files", file, self.name) for file in files],
            template=named("promptTemplates", template),
        )
        return filled(spec, settings)
