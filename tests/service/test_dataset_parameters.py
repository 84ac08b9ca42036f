"""LLM servers that do not support all of the usual parameters, such as those of OpenAI's reasoning models."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from services.dataset.tries import CallRefused
from tests.fakes import llm_server as fake
from tests.fakes.datasets import dataset_service, drops, examples, generated, state
from tests.fakes.llm_server import Answer, Request, llm
from tests.service.test_dataset_llm import MESSAGES, SCHEMA, ask, client


def refused(message: str, param: str, code: str) -> Answer:
    """A status 400 as OpenAI words it."""
    error = {"message": message, "type": "invalid_request_error", "param": param, "code": code}
    return Answer(status=400, raw=json.dumps({"error": error}, indent=2).encode())


def reasoning(request: Request) -> Answer:
    """Refuses max_tokens, every temperature but 1, and a seed, one after the other."""
    if "max_tokens" in request.body:
        words = (
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
        )
        return refused(words, "max_tokens", "unsupported_parameter")
    if request.body.get("temperature", 1) != 1:
        words = "Unsupported value: 'temperature' does not support 0.5 with this model. Only (1) is supported."
        return refused(words, "temperature", "unsupported_value")
    if "seed" in request.body:
        return Answer(
            status=422, raw=b'{"detail": [{"loc": ["body", "seed"], "msg": "Extra inputs are not permitted"}]}'
        )
    return fake.good(request)


async def test_parameters_that_a_server_does_not_support_are_left_out_from_then_on() -> None:
    """The limit of tokens goes by its newer name; the second call begins where the first ended."""
    async with llm(reasoning) as server:
        one = client(server)
        for seed in (1, 2):
            await one.complete(MESSAGES, SCHEMA, temperature=0.5, max_tokens=64, seed=seed)
        await one.close()
        *_, fourth, last = (request.body for request in server.requests)

        assert len(server.requests) == 5
        assert fourth == last
        assert not {"max_tokens", "temperature", "seed"} & last.keys()
        assert last["max_completion_tokens"] == 64
        # What was refused was no matter of response_format.
        assert {request.format for request in server.requests} == {"json_schema"}


@pytest.mark.parametrize(
    "words",
    [
        "'max_tokens' or 'max_completion_tokens' is too large: 64. The maximum context length is 32 tokens.",
        "max_tokens must be at least 100, got 64.",
        "temperature must be below 0.3",
        "The model does not support images. The temperature is 0.5.",
    ],
)
async def test_a_value_that_is_refused_is_no_reason_to_leave_the_parameter_out(words: str) -> None:
    """The limits that a user set hold."""
    async with llm(lambda request: refused(words, "x", "invalid_value")) as server:
        with pytest.raises(CallRefused, match="status 400"):
            await ask(server, json_mode="TEXT")

        assert len(server.requests) == 1


async def test_a_call_is_the_same_whatever_parameters_its_server_supports(tmp_path: Path) -> None:
    """Its id is that of what was asked for, so a recorded call stays one."""
    names = []
    for script in (fake.good, reasoning):
        async with llm(script) as server, dataset_service(tmp_path / str(len(names)), server) as (stub, _):
            dataset = await generated(stub, temperature=0.5)
            names.append([example.name for example in await examples(stub)])

        assert (state(dataset), drops(dataset)) == ("SUCCEEDED", {})

    assert names[0] == names[1]


async def test_a_server_that_fails_at_one_call_is_asked_for_a_word_without_what_it_does_not_support() -> None:
    """Else it would seem to be away."""

    def script(request: Request) -> Answer:
        found = reasoning(request)
        return fake.status(500)(request) if found.status == 200 and request.asked != fake.PROBED else found

    async with llm(script) as server:
        with pytest.raises(CallRefused, match="6 times in a row"):
            await ask(server, json_mode="TEXT")

        assert fake.PROBED in server.prompts
