"""A client whose endpoint changes: what it knows of a server stays with that server."""

from __future__ import annotations

from dataclasses import replace

from services.dataset.llm import Endpoint, LlmClient
from tests.fakes import llm_server as fake
from tests.fakes.llm_server import llm
from tests.service.test_dataset_llm import KEY, MESSAGES, SCHEMA


async def complete(client: LlmClient) -> None:
    """Make one call."""
    await client.complete(MESSAGES, SCHEMA, temperature=0.5, max_tokens=64, seed=7)


async def test_another_server_is_asked_as_if_nothing_was_known() -> None:
    """While a change of something else keeps what was learnt: each refusal costs a call."""
    async with llm(fake.text_only) as old, llm() as new:
        endpoint = Endpoint("llmEndpoints/e", old.url, fake.MODEL, 1, 5, revision=1)
        client = LlmClient(endpoint, lambda: KEY)
        await complete(client)
        await client.become(replace(endpoint, timeout_seconds=6, revision=2), lambda: KEY)
        await complete(client)
        await client.become(replace(endpoint, base_url=new.url, revision=3), lambda: KEY)
        await complete(client)
        await client.close()

        assert [r.format for r in old.requests] == ["json_schema", "json_object", "text", "text"]
        assert [r.format for r in new.requests] == ["json_schema"]


async def test_a_record_that_was_read_earlier_changes_nothing() -> None:
    """Two changes may arrive in the other order."""
    async with llm() as old, llm() as new:
        endpoint = Endpoint("llmEndpoints/e", old.url, fake.MODEL, 1, 5, revision=1)
        client = LlmClient(endpoint, lambda: "old-key")
        await client.become(replace(endpoint, base_url=new.url, revision=3), lambda: "new-key")
        await client.become(replace(endpoint, revision=2), lambda: "other-key")
        await complete(client)
        await client.close()

        assert old.requests == []
        assert [r.headers["authorization"] for r in new.requests] == ["Bearer new-key"]


async def test_what_a_server_was_found_to_take_goes_with_it() -> None:
    """Another bound keeps it, and another server begins anew."""
    endpoint = Endpoint("llmEndpoints/e", "http://a/v1", "m", 64, 5, adaptive=True, revision=1)
    client = LlmClient(endpoint)
    client.slots.pace.refused(10, 9, 20, retry_after=5)
    found = client.slots.pace.limit
    await client.become(replace(endpoint, max_concurrency=63, revision=2), str)
    kept = client.slots.pace.limit, client.slots.pace.resume_at, client.slots.pace.ceiling
    await client.become(replace(endpoint, base_url="http://b/v1", revision=3), str)
    moved = client.slots.pace.found, client.slots.pace.resume_at, client.slots.pace.ceiling
    await client.close()

    assert kept == (found, 15, 63)
    assert moved == (0, float("-inf"), 64)
