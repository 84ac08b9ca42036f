"""LLM endpoints: OpenAI-compatible servers that write examples and judge answers."""

from __future__ import annotations

from collections.abc import AsyncIterator

from finetuneflow.dataset.v1 import dataset_service_pb2, llm_endpoint_pb2
from finetuneflow_client import making, names
from finetuneflow_client.client import Services
from finetuneflow_client.resources.resource import Resource


class Llm(Resource):
    """A server and the model that it is asked for. Its key is never returned."""

    message: llm_endpoint_pb2.LlmEndpoint

    async def delete(self) -> None:
        """Forget it and its key. Raises FtfError NOT_FOUND."""
        request = dataset_service_pb2.DeleteLlmEndpointRequest(name=self.name)
        await self._services.dataset.DeleteLlmEndpoint(request)


class Llms:
    """The LLM endpoints of a server."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def add(self, base_url: str, model: str, *, api_key: str = "") -> Llm:
        """Return the endpoint for a URL and a model, whatever its id; without one it is made, with an id of both.

        Args:
            base_url: up to and without /chat/completions: "http://127.0.0.1:11434/v1".
            model: the model that the server is asked for.
            api_key: the key, if the server wants one; kept by the service alone. One that is there keeps its own.

        Raises:
            FtfError: INVALID_ARGUMENT for a bad URL, with reason LLM_NOT_ALLOWED for one that may not be called.
        """
        return Llm(self._services, await making.llm_endpoint(self._services, base_url, model, api_key))

    async def get(self, id: str) -> Llm:
        """Return the endpoint of an id or name, as `ftf llm create` made it. Raises FtfError NOT_FOUND."""
        request = dataset_service_pb2.GetLlmEndpointRequest(name=names.full("llmEndpoints", id))
        return Llm(self._services, await self._services.dataset.GetLlmEndpoint(request))

    async def list(self) -> AsyncIterator[Llm]:
        """Yield every endpoint."""
        async for message in self._services.llm_endpoints():
            yield Llm(self._services, message)
