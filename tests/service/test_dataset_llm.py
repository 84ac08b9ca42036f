"""The LLM client against a real HTTP server on loopback that misbehaves as told."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest

from services.common.errors import Unavailable
from services.dataset.core.vectors import BATCH, MAX_DIMENSIONS
from services.dataset.llm import Endpoint, LlmClient
from services.dataset.tries import CallRefused
from tests.fakes import llm_server as fake
from tests.fakes.llm_server import LlmServer, llm

MESSAGES = [{"role": "system", "content": "Ask."}, {"role": "user", "content": "Topic: T\nPassage: It has 36 pages."}]
SCHEMA: dict[str, Any] = {"type": "object", "properties": {"question": {"type": "string"}}}
KEY = "sk-very-secret-0123456789"


def client(server: LlmServer, api_key: str = "", **fields: Any) -> LlmClient:
    """A client of the server that pauses for hundredths of a second only."""
    settings = {"max_concurrency": 4, "timeout_seconds": 5, **fields}
    endpoint = Endpoint("llmEndpoints/e", server.url, fake.MODEL, **settings)
    return LlmClient(endpoint, lambda: api_key, backoff_seconds=0.01)


async def ask(server: LlmServer, **fields: Any) -> Any:
    """One call by a client of its own."""
    one = client(server, **fields)
    try:
        return await one.complete(MESSAGES, SCHEMA, temperature=0.5, max_tokens=64, seed=7)
    finally:
        await one.close()


async def test_a_call_carries_what_it_was_given_and_brings_text_and_usage() -> None:
    """Model, messages, temperature, max_tokens, seed and key go out; text and token counts come back."""
    async with llm() as server:
        reply = await ask(server, api_key=KEY)
        request = server.requests[0]

        assert json.loads(reply.text)["answer"] == "It has 36 pages."
        assert (reply.prompt_tokens, reply.completion_tokens, reply.retries) == (100, 20, 0)
        assert request.headers["authorization"] == f"Bearer {KEY}"
        assert request.body["messages"] == MESSAGES
        sent = {name: request.body[name] for name in ("model", "temperature", "max_tokens", "seed")}
        assert sent == {"model": fake.MODEL, "temperature": 0.5, "max_tokens": 64, "seed": 7}
        assert request.body["response_format"]["json_schema"]["schema"] == SCHEMA


@pytest.mark.parametrize("code", [408, 409, 425, 429, 500, 502, 503, 504])
async def test_a_status_that_says_later_is_tried_again(code: int) -> None:
    """Two failures cost two retries and nothing more."""
    failing = fake.status(code)
    async with llm(fake.first(failing, failing)) as server:
        reply = await ask(server, json_mode="SCHEMA")

        assert reply.retries == 2
        assert len(server.requests) == 3


async def test_retry_after_is_waited_for() -> None:
    """The server's own pause is kept instead of the backoff's."""
    async with llm(fake.first(fake.status(429, retry_after="0.4"))) as server:
        began = time.monotonic()
        await ask(server)

        assert time.monotonic() - began >= 0.4


async def test_a_server_that_stays_away_is_llm_unavailable_after_five_tries() -> None:
    """The message names the endpoint and the remedy."""
    async with llm(fake.status(503)) as server:
        with pytest.raises(Unavailable, match=r"status 503, 5 times in a row.*Check") as caught:
            await ask(server, json_mode="TEXT")

        assert caught.value.reason == "LLM_UNAVAILABLE"
        assert server.url in str(caught.value)
        assert len(server.requests) == 5


async def test_with_patience_a_server_that_restarts_is_waited_for() -> None:
    """Five tries are over in seconds; a model takes longer to be loaded."""
    async with llm(fake.first(*[fake.status(503)] * 8)) as server:
        one = client(server, json_mode="TEXT")
        reply = await one.complete(MESSAGES, SCHEMA, temperature=0, max_tokens=64, seed=1, patience=60)
        await one.close()

        assert reply.retries == 8


async def test_a_port_without_a_server_is_llm_unavailable() -> None:
    """Connections that are refused are tried again, then told."""
    async with llm() as server:
        await server.stop()
        with pytest.raises(Unavailable, match="no connection"):
            await ask(server)


async def test_a_call_ends_at_its_time_limit() -> None:
    """A server that never answers costs timeout_seconds per try, not for ever."""
    async with llm(fake.first(fake.hang(30))) as server:
        began = time.monotonic()
        reply = await ask(server, timeout_seconds=0.3)

        assert reply.retries == 1
        assert time.monotonic() - began < 20


@pytest.mark.parametrize(
    ("code", "words"), [(401, "the key is missing or wrong"), (403, "not allowed"), (404, "unknown")]
)
async def test_a_refusal_is_told_at_once_and_without_the_key(code: int, words: str) -> None:
    """No retry cures a wrong key; the message says what is wrong and never shows the key."""
    async with llm(fake.status(code)) as server:
        with pytest.raises(Unavailable, match=words) as caught:
            await ask(server, api_key=KEY)

        assert KEY not in str(caught.value)
        assert len(server.requests) == 1


async def test_the_largest_batch_of_vectors_is_taken_in() -> None:
    """As many texts as are asked for at once, of as many dimensions as are allowed, each number with all its digits."""
    row = [-0.012345678901234567 * (1 + n % 2) for n in range(MAX_DIMENSIONS)]
    raw = json.dumps({"data": [{"index": n, "embedding": row} for n in range(BATCH)]}).encode()
    async with llm() as server:
        server.embedding_script = lambda request: fake.Answer(raw=raw)
        one = client(server, timeout_seconds=30)
        found = await one.embed("m", ["x"] * BATCH)
        await one.close()

        assert len(raw) > 5_000_000
        assert {len(vector) for vector in found.vectors} == {MAX_DIMENSIONS}


@pytest.mark.parametrize(
    "raw",
    [
        b"<html>Welcome</html>",
        b"",
        b"[]",
        b'{"choices": []}',
        b'{"choices": [{"message": {}}]}',
        b'{"choices": "x"}',
        b'{"choices": [{"message": {"content": "x"}}], "usage": {"prompt_tokens": "many"}}',
        b"\xff\xfe",
        b"[" * 200_000,
    ],
)
async def test_an_answer_that_is_no_chat_completion_is_tried_again_then_told(raw: bytes) -> None:
    """A captive portal, a proxy, another program on the port: never a crash."""
    async with llm(lambda r: fake.Answer(raw=raw)) as server:
        with pytest.raises(Unavailable, match="not a chat completion, 5 times"):
            await ask(server)


async def test_a_reply_of_megabytes_is_not_taken_in() -> None:
    """Reading stops at the limit, whatever the server sends."""
    async with llm(lambda r: fake.Answer(raw=b"x" * 6_000_000)) as server:
        with pytest.raises(Unavailable, match="a reply of more than"):
            await ask(server)


@pytest.mark.parametrize(
    "failing",
    [
        fake.status(500),
        lambda r: fake.Answer(raw=b'{"choices": []}'),
        fake.hang(5),
        lambda r: fake.Answer(raw=b"x" * 6_000_000),
    ],
    ids=["status", "no choice", "megabytes", "time-out"],
)
async def test_a_call_that_fails_each_time_is_refused_where_the_server_answers_others(failing: fake.Script) -> None:
    """The caller may go on with other calls."""
    async with llm(lambda r: fake.good(r) if r.asked == fake.PROBED else failing(r)) as server:
        with pytest.raises(CallRefused, match="6 times in a row"):
            await ask(server, json_mode="TEXT", timeout_seconds=0.3)

        assert [prompt == fake.PROBED for prompt in server.prompts] == [False] * 5 + [True, False]


@pytest.mark.parametrize("takes", [False, True])
async def test_a_text_that_embeddings_fail_at_each_time_is_refused_where_others_are_taken(takes: bool) -> None:
    """Answers of the chat tell nothing of embeddings."""

    def failing(request: fake.Request) -> fake.Answer:
        return fake.embed(request) if request.body["input"] == ["word"] and takes else fake.status(500)(request)

    async with llm() as server:
        server.embedding_script = failing
        one = client(server)
        await one.complete(MESSAGES, SCHEMA, temperature=0, max_tokens=64, seed=1)
        with pytest.raises(Unavailable, match=f"status 500, {6 if takes else 5} times in a row") as caught:
            await one.embed("m", ["x"])
        await one.close()

        assert (caught.type is CallRefused) == takes


async def test_a_thinking_model_that_says_nothing_has_answered() -> None:
    """Some servers leave the content out then."""
    raw = json.dumps({"choices": [{"message": {"role": "assistant", "reasoning_content": "Let me see."}}]}).encode()
    async with llm(lambda r: fake.Answer(raw=raw)) as server:
        reply = await ask(server)

        assert (reply.text, reply.reasoning, reply.retries) == ("", "Let me see.", 0)


async def test_never_more_calls_in_flight_than_allowed() -> None:
    """Twenty calls at once share max_concurrency slots."""
    async with llm(fake.hang(0.05)) as server:
        one = client(server, max_concurrency=3)
        calls = (one.complete(MESSAGES, SCHEMA, temperature=0, max_tokens=9, seed=n) for n in range(20))
        await asyncio.gather(*calls)
        await one.close()

        assert server.most_at_once == 3


async def test_a_closed_client_says_so() -> None:
    """An endpoint that is deleted while a dataset uses it gives a plain error."""
    async with llm() as server:
        one = client(server)
        await one.close()
        with pytest.raises(Unavailable, match="deleted"):
            await one.complete(MESSAGES, SCHEMA, temperature=0, max_tokens=9, seed=1)


async def test_a_proxy_of_the_environment_is_not_used_for_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """A company's HTTP_PROXY must not see calls to a server on this machine."""
    async with llm() as server, llm(fake.status(502)) as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        await ask(server)

        assert not proxy.requests


async def test_a_redirect_is_not_followed() -> None:
    """Or a server on the list could send its callers, and their key, to one that is not."""
    async with llm() as other, llm(fake.status(307)) as server:
        with pytest.raises(Unavailable, match="status 307"):
            await ask(server, api_key=KEY, json_mode="TEXT")

        assert not other.requests


async def test_what_a_model_thought_is_kept_apart_from_its_reply() -> None:
    """As vLLM, llama.cpp and others send it: beside the content."""
    message = {"content": "{}", "reasoning_content": "Let me see."}
    raw = json.dumps({"choices": [{"message": message}], "usage": {}}).encode()
    async with llm(lambda r: fake.Answer(raw=raw)) as server:
        reply = await ask(server)

        assert (reply.text, reply.reasoning) == ("{}", "Let me see.")


async def test_retry_after_holds_for_every_caller_of_the_endpoint() -> None:
    """One is told to wait; the others do not try in the meantime."""
    async with llm(fake.first(fake.status(429, retry_after="0.4"))) as server:
        one = client(server, max_concurrency=2)
        began = time.monotonic()
        first = asyncio.create_task(one.complete(MESSAGES, SCHEMA, temperature=0, max_tokens=9, seed=1))
        while not server.requests or server.at_once:  # noqa: ASYNC110 - what is waited for is in a fake's plain list
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        await one.complete(MESSAGES, SCHEMA, temperature=0, max_tokens=9, seed=2)
        waited = time.monotonic() - began
        await first
        await one.close()

        assert waited >= 0.4


async def test_a_server_that_refuses_more_than_some_calls_is_found_out() -> None:
    """With adaptive, from four calls in flight up to what it takes, and hardly beyond."""

    def limited(request: fake.Request) -> fake.Answer:
        if server.at_once > 12:
            return fake.status(429)(request)
        return fake.Answer(fake.good(request).text, hang=0.03)

    async with llm(limited) as server:
        one = client(server, max_concurrency=256, adaptive=True, json_mode="TEXT")
        calls = (one.complete(MESSAGES, SCHEMA, temperature=0, max_tokens=9, seed=n, patience=30) for n in range(800))
        replies = await asyncio.gather(*calls)
        limit = one.slots.pace.limit
        await one.close()

        assert abs(limit - 12) <= 2
        assert sum(r.retries for r in replies) <= 0.04 * 800
