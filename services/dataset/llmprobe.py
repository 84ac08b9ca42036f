"""Whether an OpenAI-compatible LLM server answers: it is asked for its list of models, which costs nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import httpx

from services.common import connecting
from services.common.dependencies import PATIENCE_SECONDS, Dependency
from services.common.errors import FineTuneFlowError, Unavailable
from services.dataset.transport import proxied

_MOST_BYTES = 4 * 1024 * 1024
_KEY_REFUSED = (401, 403)
_NO_LIST = (404, 405, 501)


def of_llm(what: str, url: str, model: str, key: Callable[[], str]) -> Dependency:
    """Return the dependency of an LLM endpoint: its server answers, takes the key, and what it says of the model.

    Args:
        url: the base URL, such as http://host:port/v1.
        key: gives the key; "" for none.
    """

    async def probe() -> str:
        status, content = await _models(url, key())
        if status in _KEY_REFUSED:
            raise _fails(f"It answers HTTP {status}: its key is missing or wrong. Give it another: `ftf llm update`.")
        if status in _NO_LIST:
            return f"it answers; it has no list of models (HTTP {status}), so that {model} was not looked for"
        if status >= 500 or status == 429:
            raise _fails(f"It answers HTTP {status}: it is overloaded or broken. See its log.")
        return _about(model, content) if status == 200 else f"it answers HTTP {status}"

    return Dependency(what, url, probe)


async def _models(url: str, key: str) -> tuple[int, bytes]:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    content = bytearray()
    try:
        trusted = await asyncio.to_thread(connecting.certificates)
        async with (
            httpx.AsyncClient(timeout=PATIENCE_SECONDS, verify=trusted, trust_env=proxied(url)) as client,
            client.stream("GET", f"{url.rstrip('/')}/models", headers=headers) as answer,
        ):
            async for part in answer.aiter_bytes():
                content += part
                if len(content) > _MOST_BYTES:
                    break
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise OSError(0, connecting.why(error)) from error
    return answer.status_code, bytes(content)


def _about(model: str, content: bytes) -> str:
    """Return what a list of models says of one. Some servers take names that they do not list: aliases and patterns."""
    try:
        ids = [str(one["id"]) for one in json.loads(content)["data"]]
    except (ValueError, LookupError, TypeError, RecursionError):
        return "it answers, with what is no list of models; see whether the URL is that of its API"
    # Ollama takes a name for its newest, and Gemini's lists have a folder before it.
    if not {model, f"{model}:latest", f"models/{model}"}.isdisjoint(ids):
        return f"it answers, and has {model}"
    some = ", ".join(ids[:5])[:200]
    return f"it answers; {model} is not among its {len(ids)} models ({some}): if calls fail, check the endpoint's model"


def _fails(words: str) -> FineTuneFlowError:
    return Unavailable(words, reason="LLM_UNAVAILABLE")
