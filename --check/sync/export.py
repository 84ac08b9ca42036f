"""Exports: weights to take away; blocking.

Made of resources/export.py by clients/python/generate.py; do not edit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from finetuneflow.export.v1 import export_pb2
from finetuneflow_client import resources
from finetuneflow_client.blocking import iterate, run
from finetuneflow_client.sync.resource import Working


class Export(Working):
    """A run's weights in one form, proven by loading them again."""

    of: resources.export.Export

    @property
    def message(self) -> export_pb2.Export:
        """What the server told: the contract's message, with every field."""
        return self.of.message

    @property
    def files(self) -> list[str]:
        """Names of its files; empty before it has succeeded."""
        return self.of.files

    def refresh(self) -> Export:
        """Ask the server how it is now. Raises FtfError NOT_FOUND."""
        return Export(run(self.of.refresh()))

    def watch(self) -> Iterator[Export]:
        """Yield the export now and at every change until it has ended, across broken connections."""
        return map(Export, iterate(self.of.watch()))

    def wait(self) -> Export:
        """Wait until it has ended. Raises WorkFailed or WorkCancelled."""
        return Export(run(self.of.wait()))

    def download(self, folder: str | Path, *, progress: Callable[[str, int, int], None] | None = None) -> list[Path]:
        """Wait until it has ended, and fetch its files and what was signed about them.

        Files with the right hash that are there already stay; a transfer that broke off goes on where it was.

        Args:
            folder: where to; made if it is missing.
            progress: called with a file's name, its bytes there and its bytes in all.

        Raises:
            FtfError: WorkFailed or WorkCancelled; DATA_LOSS if bytes do not have the announced hash;
                RESOURCE_EXHAUSTED if they cannot be written.
        """
        return run(self.of.download(folder, progress=progress))

    def cancel(self) -> None:
        """Stop it; if it has ended, nothing changes. Raises FtfError NOT_FOUND."""
        return run(self.of.cancel())

    def delete(self) -> None:
        """Delete it with its files. Raises FtfError NOT_FOUND."""
        return run(self.of.delete())

    def _repr_html_(self) -> str:
        """Return it for a notebook: its form, how it was proven, its files and their size."""
        return self.of._repr_html_()
