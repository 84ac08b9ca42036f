"""How a server is asked for JSON: found once, kept, and not decided by a call that it refuses."""

from __future__ import annotations

import asyncio

import pytest

from services.common.errors import Unavailable
from services.dataset.llm import LlmClient
from services.dataset.tries import CallRefused
from tests.fakes import llm_server as fake
from tests.fakes.llm_server import llm
from tests.service.test_dataset_llm import MESSAGES, SCHEMA, ask, client


@pytest.mark.parametrize(
    ("script", "formats", "mode"),
    [
        (fake.without_schema, ["json_schema", "json_object"], "OBJECT"),
        (fake.text_only, ["json_schema", "json_object", "text"], "TEXT"),
        (
            lambda r: fake.status(500)(r) if r.format == "json_schema" else fake.good(r),
            ["json_schema", "json_schema", "json_object"],
            "OBJECT",
        ),
    ],
    ids=["no schema", "no response_format", "schema is status 500"],
)
async def test_the_way_to_ask_for_json_is_found_once(script: fake.Script, formats: list[str], mode: str) -> None:
    """Schema first, then json_object, then plain text; the second call begins where the first ended."""
    async with llm(script) as server:
        one = client(server)
        await one.complete(MESSAGES, SCHEMA, temperature=0, max_tokens=64, seed=1)
        await one.complete(MESSAGES, SCHEMA, temperature=0, max_tokens=64, seed=2)
        await one.close()

        assert [request.format for request in server.requests] == [*formats, formats[-1]]
        assert one.json_mode == mode


async def test_a_mode_that_was_chosen_is_kept() -> None:
    """With json_mode set, a 400 is an error and no reason to ask in another way."""
    async with llm(fake.without_schema) as server:
        with pytest.raises(Unavailable, match="status 400"):
            await ask(server, json_mode="SCHEMA")

        assert [request.format for request in server.requests] == ["json_schema"]


async def test_a_call_that_is_refused_in_every_way_leaves_the_way_as_it_was() -> None:
    """A prompt that is too long says nothing of how the server takes orders for JSON."""

    def short(request: fake.Request) -> fake.Answer:
        return fake.status(400)(request) if request.number < 3 else fake.good(request)

    async with llm(short) as server:
        one = client(server)
        with pytest.raises(CallRefused, match="status 400"):
            await one.complete(MESSAGES, SCHEMA, temperature=0, max_tokens=64, seed=1)
        await one.complete(MESSAGES, SCHEMA, temperature=0, max_tokens=64, seed=2)
        await one.close()

        assert [r.format for r in server.requests] == ["json_schema", "json_object", "text", "json_schema"]


@pytest.mark.parametrize(("takes", "hang"), [("json_schema", 0.2), ("json_object", 0.05)])
async def test_a_call_that_is_refused_while_others_are_answered_does_not_decide_how_they_are_asked(
    takes: str, hang: float
) -> None:
    """It comes to plain text first; what the server answered meanwhile is how later calls are asked for JSON."""

    async def too_long(one: LlmClient) -> None:
        with pytest.raises(CallRefused):
            await one.complete([{"role": "user", "content": "too long"}], SCHEMA, temperature=0, max_tokens=9, seed=1)

    def script(request: fake.Request) -> fake.Answer:
        if "too long" in request.asked or (request.format, takes) == ("json_schema", "json_object"):
            return fake.Answer(status=400, hang=hang if "too long" in request.asked else 0.1)
        return fake.Answer(fake.good(request).text, hang=0.3)

    async with llm(script) as server:
        one = client(server)
        refused = asyncio.create_task(too_long(one))
        others = [one.complete(MESSAGES, SCHEMA, temperature=0, max_tokens=9, seed=n) for n in range(2)]
        await asyncio.gather(refused, *others)
        await one.complete(MESSAGES, SCHEMA, temperature=0, max_tokens=9, seed=3)
        await one.close()

        assert one.json_mode == {"json_schema": "SCHEMA", "json_object": "OBJECT"}[takes]
        assert server.requests[-1].format == takes


async def test_a_call_that_is_refused_late_is_asked_again_as_the_others_were() -> None:
    """Another one found the way meanwhile: that this server takes no schema is no fault of the call."""

    def script(request: fake.Request) -> fake.Answer:
        if request.format == "json_schema":
            return fake.Answer(status=400, hang=0.3 if "slow" in request.asked else 0)
        return fake.good(request)

    async with llm(script) as server:
        one = client(server)
        slow = [*MESSAGES[:1], {"role": "user", "content": f"{MESSAGES[1]['content']}\nslow"}]
        calls = (one.complete(said, SCHEMA, temperature=0, max_tokens=9, seed=1) for said in (slow, MESSAGES))
        replies = await asyncio.gather(*calls)
        await one.close()

        assert len(replies) == 2
        assert one.json_mode == "OBJECT"
