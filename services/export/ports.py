"""What export needs of other services."""

from __future__ import annotations

from typing import Protocol

from finetuneflow.hardware.v1 import model_pb2
from finetuneflow.training.v1 import run_pb2


class Runs(Protocol):
    """The training service."""

    async def get(self, name: str) -> run_pb2.Run:
        """Return a run. Raises NotFound, Unavailable."""
        ...


class Models(Protocol):
    """The hardware service."""

    async def get(self, name: str) -> model_pb2.Model:
        """Return a model. Raises NotFound, Unavailable."""
        ...
