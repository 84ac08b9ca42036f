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

    async def update(
        self,
        *,
        base_url: str | None = None,
        max_concurrency: int | None = None,
        adaptive: bool | None = None,
        timeout_seconds: int | None = None,
        prompt_price: float | None = None,
        completion_price: float | None = None,
        api_key: str | None = None,
        api_key_secret: str | None = None,
    ) -> Llm:
        """Change what is given, and return it as it is now; calls that begin afterwards are made by it.

        Args:
            base_url: up to and without /chat/completions.
            max_concurrency: calls in flight at most, 1 to 256; 0 for the default.
            adaptive: whether that number is found by trying.
            timeout_seconds: of one call, 1 to 3,600; 0 for the default.
            prompt_price: of a million prompt tokens; completion_price: of a million reply tokens.
            api_key: a new key; "" for none any more. A key that came so is not sent to another server.
            api_key_secret: name of one of the server's own keys.

        Raises:
            FtfError: NOT_FOUND; INVALID_ARGUMENT for a value out of range.
        """
        given = {
            "base_url": base_url,
            "max_concurrency": max_concurrency,
            "adaptive": adaptive,
            "timeout_seconds": timeout_seconds,
            "prompt_price": prompt_price,
            "completion_price": completion_price,
            "api_key_secret": "" if api_key == "" else api_key_secret,
        }
        fields = {name: value for name, value in given.items() if value is not None}
        return Llm(self._services, await making.changed_endpoint(self._services, self.name, fields, api_key or ""))

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
