"""Vectors of texts of which the server of embeddings fails at one, over real HTTP and with a clock of its own."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from services.dataset import embedder, tries
from services.dataset.core.vectors import BATCH
from services.dataset.embedder import Embedder
from services.dataset.llm import Endpoint, LlmClient
from services.dataset.preview import Passing
from services.dataset.spending import Spending
from services.dataset.tries import TRIES, CallRefused
from tests.fakes import llm_server as fake
from tests.fakes.clock import FakeClock
from tests.fakes.llm_server import llm

PATIENCE, EACH = 60, 5
BAD = "text 20"


async def test_a_text_that_is_failed_at_each_time_costs_the_patience_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not again with each half of its batch: the others are embedded, and it alone is refused."""
    clock = FakeClock()
    for module in (tries, embedder):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=clock.now))

    def failing(request: fake.Request) -> fake.Answer:
        if BAD not in request.body["input"]:
            return fake.embed(request)
        clock.turn(EACH)
        return fake.status(500)(request)

    async with llm() as server:
        server.embedding_script = failing
        client = LlmClient(Endpoint("llmEndpoints/e", server.url, fake.MODEL, 4, 20), backoff_seconds=0)
        spending = Spending(Passing(), {"uid": "u", "spec": {}}, {})
        one, texts = Embedder(client, "m", spending, PATIENCE), [f"text {number}" for number in range(1 + BATCH)]
        began = clock.now()
        found = await asyncio.gather(*(one.vector(text) for text in texts), return_exceptions=True)
        await client.close()
        sizes = [len(request.body["input"]) for request in server.embeddings if BAD in request.body["input"]]

    assert [text for text, vector in zip(texts, found, strict=True) if isinstance(vector, BaseException)] == [BAD]
    assert isinstance(found[texts.index(BAD)], CallRefused)
    # The first text goes by itself, the others gather meanwhile.
    assert set(sizes) == {32, 16, 8, 4, 2, 1}
    assert max(sizes.count(size) for size in set(sizes) - {BATCH}) <= TRIES + 1
    assert clock.now() - began <= PATIENCE + EACH + 5 * (TRIES + 1) * EACH
