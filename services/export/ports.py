"""What export needs of other services."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from finetuneflow.hardware.v1 import model_pb2
from finetuneflow.training.v1 import run_pb2


class Runs(Protocol):
    """The training service."""

    async def get(self, name: str) -> run_pb2.Run:
        """Return a run. Raises NotFound, Unavailable."""
        ...


class Datasets(Protocol):
    """The dataset service."""

    async def documents(self, name: str) -> tuple[dict[str, str], bool]:
        """Return the files that a dataset was made from, and whether these are all that it ever had.

        Returns:
            Names of documents, whose hash the ingest service knows, with ""; an imported file with its SHA-256.
        """
        ...


class Documents(Protocol):
    """The ingest service."""

    async def known(self, names: Sequence[str]) -> dict[str, tuple[str, str]]:
        """Return SHA-256 and file name of files by name; a file that was deleted is left out. Raises Unavailable."""
        ...


class Models(Protocol):
    """The hardware service."""

    async def get(self, name: str) -> model_pb2.Model:
        """Return a model. Raises NotFound, Unavailable."""
        ...
