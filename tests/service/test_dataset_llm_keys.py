"""Keys of LLM endpoints: sent with each call, and shown nowhere."""

from __future__ import annotations

import asyncio

import pytest

from services.common.errors import Unavailable
from services.dataset.llm import Endpoint, LlmClient
from tests.fakes import llm_server as fake
from tests.fakes.llm_server import llm
from tests.service.test_dataset_llm import KEY, MESSAGES, SCHEMA, ask


async def test_a_server_that_repeats_the_key_does_not_bring_it_into_the_message() -> None:
    """Some servers echo the key in their error."""
    async with llm(lambda r: fake.Answer(status=402, raw=f"bad key {KEY}".encode())) as server:
        with pytest.raises(Unavailable, match=r"bad key \*\*\*") as caught:
            await ask(server, api_key=KEY, json_mode="TEXT")

        assert KEY not in str(caught.value)


async def test_a_client_shown_in_a_log_hides_its_key() -> None:
    """repr is what reaches logs and tracebacks."""
    one = LlmClient(Endpoint("llmEndpoints/e", "http://x/v1", "m", 1, 1), lambda: KEY)
    shown = f"{one!r} {one.endpoint!r}"
    await one.close()

    assert KEY not in shown


async def test_a_key_that_was_replaced_is_sent_with_the_next_call() -> None:
    """A mounted key is rotated while the service runs."""
    keys = iter(["old-key", "new-key"])
    async with llm() as server:
        one = LlmClient(Endpoint("llmEndpoints/e", server.url, fake.MODEL, 1, 5), lambda: next(keys))
        for _ in range(2):
            await one.complete(MESSAGES, SCHEMA, temperature=0.5, max_tokens=64, seed=7)
        await one.close()

        assert [r.headers["authorization"] for r in server.requests] == ["Bearer old-key", "Bearer new-key"]


async def test_a_key_that_was_replaced_while_its_call_was_in_flight_is_not_told() -> None:
    """The server echoes the key that it was sent, after a later call was sent another."""

    def script(request: fake.Request) -> fake.Answer:
        key = request.headers["authorization"]
        return fake.Answer(status=402, raw=f"bad {key}".encode(), hang=0.3 if "old" in key else 0)

    keys = iter(["sk-old", "sk-new"])
    async with llm(script) as server:
        one = LlmClient(Endpoint("llmEndpoints/e", server.url, fake.MODEL, 2, 5, "TEXT"), lambda: next(keys))
        calls = (one.complete(MESSAGES, SCHEMA, temperature=0.5, max_tokens=64, seed=n) for n in range(2))
        told = await asyncio.gather(*calls, return_exceptions=True)
        await one.close()

        assert ["bad Bearer ***" in str(error) for error in told] == [True, True]
        assert "sk-" not in f"{told[0]} {told[1]}"
