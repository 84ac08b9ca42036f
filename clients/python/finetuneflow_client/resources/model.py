"""Base models."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

from finetuneflow.hardware.v1 import hardware_service_pb2, model_pb2
from finetuneflow_client import models, names
from finetuneflow_client.client import Services
from finetuneflow_client.resources.resource import Resource


class Model(Resource):
    """A base model: pinned, hashed, and described from its files."""

    message: model_pb2.Model

    @property
    def parameters(self) -> int:
        """Exact number of parameters."""
        return self.message.parameters

    async def delete(self) -> None:
        """Forget it. Raises FtfError NOT_FOUND."""
        await self._services.hardware.DeleteModel(hardware_service_pb2.DeleteModelRequest(name=self.name))


class Models:
    """The base models of a server."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def add(self, source: str) -> Model:
        """Return the model of a folder of the server's machine, or of a hub id; adding it again changes nothing.

        Raises:
            FtfError: INVALID_ARGUMENT if there is no model, or it cannot be described; NOT_FOUND on the hub.
        """
        return await self.get(await models.base_model(self._services, source))

    async def upload(
        self, path: str | Path, id: str, *, progress: Callable[[str, int, int], None] | None = None
    ) -> Model:
        """Send a model's files to the server; those that it has are not sent again, so a repeat goes on where it was.

        Args:
            path: a folder in the Hugging Face layout, or a zip or tar archive of one.
            id: last part of its name.
            progress: called with a file's name, its bytes sent and its bytes in all.

        Raises:
            FtfError: INVALID_ARGUMENT if it is no model; RESOURCE_EXHAUSTED if the server's disk is full.
        """
        with models.opened(Path(path)) as source:
            return Model(self._services, await models.import_model(self._services, source, id, progress))

    async def get(self, id: str) -> Model:
        """Return a model. Raises FtfError NOT_FOUND."""
        request = hardware_service_pb2.GetModelRequest(name=names.full("models", id))
        return Model(self._services, await self._services.hardware.GetModel(request))

    async def list(self) -> AsyncIterator[Model]:
        """Yield every model, oldest first."""
        async for message in self._services.models():
            yield Model(self._services, message)
