"""Whether an LLM server answers, by what it says when it is asked for its models."""

from __future__ import annotations

import json

import pytest
from aiohttp import web

from services.common.dependencies import Found, ask
from services.dataset.llmprobe import of_llm


async def answer(status: int, text: str = "") -> Found:
    """Ask a server that answers so."""

    async def models(request: web.Request) -> web.Response:
        return web.Response(status=status, text=text)

    app = web.Application()
    app.router.add_get("/v1/models", models)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        _, port = runner.addresses[0]
        (found,) = await ask([of_llm("llmEndpoints/l", f"http://127.0.0.1:{port}/v1", "m", lambda: "")])
        return found
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("status", [404, 405, 501])
async def test_a_server_without_a_list_of_models_answers(status: int) -> None:
    """Some serve completions alone; nothing is wrong with them."""
    found = await answer(status)

    assert found.state == "ANSWERS"
    assert f"no list of models (HTTP {status})" in found.message


@pytest.mark.parametrize(("status", "words"), [(401, "key"), (429, "overloaded"), (500, "broken"), (503, "broken")])
async def test_a_server_that_would_refuse_calls_fails(status: int, words: str) -> None:
    """With what to do."""
    found = await answer(status)

    assert found.state == "FAILS"
    assert words in found.message


@pytest.mark.parametrize(("listed", "has"), [("m", True), ("m:latest", True), ("models/m", True), ("other", False)])
async def test_a_model_that_the_server_does_not_list_is_said(listed: str, has: bool) -> None:
    """It may be an alias that the server takes all the same; some list a model under another name than they take."""
    found = await answer(200, json.dumps({"data": [{"id": listed}]}))

    assert found.state == "ANSWERS"
    assert ("m is not among its 1 models (other)" in found.message) is not has
