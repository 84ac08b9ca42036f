"""What a project does with examples: have them written, or take them from a file; blocking.

Made of resources/generation.py by clients/python/generate.py; do not edit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Unpack

from finetuneflow_client import resources
from finetuneflow_client.blocking import iterate, run
from finetuneflow_client.resources.settings import GenerationSettings, ImportSettings
from finetuneflow_client.sync.dataset import Dataset
from finetuneflow_client.sync.documents import WithFiles
from finetuneflow_client.sync.example import Example
from finetuneflow_client.sync.file import File
from finetuneflow_client.sync.llm import Llm
from finetuneflow_client.sync.template import Template


class WithDatasets(WithFiles):
    """A project, as far as its files and datasets go."""

    of: resources.generation.WithDatasets

    def generate(
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
        return Dataset(
            run(
                self.of.generate(
                    llm.of if isinstance(llm, Llm) else llm,
                    files=[one.of if isinstance(one, File) else one for one in files],
                    template=template.of if isinstance(template, Template) else template,
                    id=id,
                    wait=wait,
                    **settings,
                )
            )
        )

    def preview(
        self,
        llm: Llm | str = "",
        *,
        files: Sequence[File | str] = (),
        template: Template | str = "",
        calls: int = 3,
        **settings: Unpack[GenerationSettings],
    ) -> list[Example]:
        """Make a few examples and keep none of them; dropped ones come too, with the reason. Args: as generate()."""
        return [
            Example(one)
            for one in run(
                self.of.preview(
                    llm.of if isinstance(llm, Llm) else llm,
                    files=[one.of if isinstance(one, File) else one for one in files],
                    template=template.of if isinstance(template, Template) else template,
                    calls=calls,
                    **settings,
                )
            )
        ]

    def import_dataset(
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
        return Dataset(run(self.of.import_dataset(path, id=id, progress=progress, **settings)))

    def datasets(self) -> Iterator[Dataset]:
        """Yield its datasets, oldest first."""
        return map(Dataset, iterate(self.of.datasets()))

    def dataset(self, id: str) -> Dataset:
        """Return a dataset. Raises FtfError NOT_FOUND."""
        return Dataset(run(self.of.dataset(id)))
