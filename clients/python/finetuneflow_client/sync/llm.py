"""LLM endpoints: OpenAI-compatible servers that write examples and judge answers; blocking.

Made of resources/llm.py by clients/python/generate.py; do not edit.
"""

from __future__ import annotations

from collections.abc import Iterator

from finetuneflow.dataset.v1 import llm_endpoint_pb2
from finetuneflow_client import resources
from finetuneflow_client.blocking import Front, iterate, run
from finetuneflow_client.sync.resource import Resource


class Llm(Resource):
    """A server and the model that it is asked for. Its key is never returned."""

    of: resources.llm.Llm

    @property
    def message(self) -> llm_endpoint_pb2.LlmEndpoint:
        """What the server told: the contract's message, with every field."""
        return self.of.message

    def update(
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
        return Llm(
            run(
                self.of.update(
                    base_url=base_url,
                    max_concurrency=max_concurrency,
                    adaptive=adaptive,
                    timeout_seconds=timeout_seconds,
                    prompt_price=prompt_price,
                    completion_price=completion_price,
                    api_key=api_key,
                    api_key_secret=api_key_secret,
                )
            )
        )

    def delete(self) -> None:
        """Forget it and its key. Raises FtfError NOT_FOUND."""
        return run(self.of.delete())


class Llms(Front):
    """The LLM endpoints of a server."""

    of: resources.llm.Llms

    def add(self, base_url: str, model: str, *, api_key: str = "") -> Llm:
        """Return the endpoint for a URL and a model, whatever its id; without one it is made, with an id of both.

        Args:
            base_url: up to and without /chat/completions: "http://127.0.0.1:11434/v1".
            model: the model that the server is asked for.
            api_key: the key, if the server wants one; kept by the service alone. One that is there keeps its own.

        Raises:
            FtfError: INVALID_ARGUMENT for a bad URL, with reason LLM_NOT_ALLOWED for one that may not be called.
        """
        return Llm(run(self.of.add(base_url, model, api_key=api_key)))

    def get(self, id: str) -> Llm:
        """Return the endpoint of an id or name, as `ftf llm create` made it. Raises FtfError NOT_FOUND."""
        return Llm(run(self.of.get(id)))

    def list(self) -> Iterator[Llm]:
        """Yield every endpoint."""
        return map(Llm, iterate(self.of.list()))
