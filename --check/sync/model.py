"""Base models; blocking.

Made of resources/model.py by clients/python/generate.py; do not edit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from finetuneflow.hardware.v1 import model_pb2
from finetuneflow_client import resources
from finetuneflow_client.blocking import Front, iterate, run
from finetuneflow_client.sync.resource import Resource


class Model(Resource):
    """A base model: pinned, hashed, and described from its files."""

    of: resources.model.Model

    @property
    def message(self) -> model_pb2.Model:
        """What the server told: the contract's message, with every field."""
        return self.of.message

    @property
    def parameters(self) -> int:
        """Exact number of parameters."""
        return self.of.parameters

    def delete(self) -> None:
        """Forget it. Raises FtfError NOT_FOUND."""
        return run(self.of.delete())


class Models(Front):
    """The base models of a server."""

    of: resources.model.Models

    def add(self, source: str) -> Model:
        """Return the model of a folder of the server's machine, or of a hub id; adding it again changes nothing.

        Raises:
            FtfError: INVALID_ARGUMENT if there is no model, or it cannot be described; NOT_FOUND on the hub.
        """
        return Model(run(self.of.add(source)))

    def upload(self, path: str | Path, id: str, *, progress: Callable[[str, int, int], None] | None = None) -> Model:
        """Send a model's files to the server; those that it has are not sent again, so a repeat goes on where it was.

        Args:
            path: a folder in the Hugging Face layout, or a zip or tar archive of one.
            id: last part of its name.
            progress: called with a file's name, its bytes sent and its bytes in all.

        Raises:
            FtfError: INVALID_ARGUMENT if it is no model; RESOURCE_EXHAUSTED if the server's disk is full.
        """
        return Model(run(self.of.upload(path, id, progress=progress)))

    def get(self, id: str) -> Model:
        """Return a model. Raises FtfError NOT_FOUND."""
        return Model(run(self.of.get(id)))

    def list(self) -> Iterator[Model]:
        """Yield every model, oldest first."""
        return map(Model, iterate(self.of.list()))
