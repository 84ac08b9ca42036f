"""A client of OpenAI-compatible chat-completions servers: Ollama, Ollama Cloud, vLLM, llama.cpp, …"""

from __future__ import annotations

import asyncio
import contextlib
import email.utils
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from services.common.errors import FineTuneFlowError, Unavailable
from services.dataset.core.budget import NO_PRICES, Prices
from services.dataset.ports import Reply

TRIES = 5
"""Calls made for one reply, at least where there is patience, else at most."""
PATIENCE_SECONDS = 60.0
"""How long generation goes on asking an LLM that is away before the dataset is paused."""
BACKOFF_SECONDS = 0.5
"""Pause after the first failure; doubled after each, with full jitter (Brooker, "Exponential Backoff And Jitter")."""
MAX_PAUSE_SECONDS = 30.0
MAX_REPLY_BYTES = 4 * 1024 * 1024

_AGAIN = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
_REFUSED = {
    401: "the key is missing or wrong",
    403: "the key is not allowed to",
    404: "the URL or the model is unknown",
}
_FALLBACK = {"SCHEMA": "OBJECT", "OBJECT": "TEXT"}


@dataclass(frozen=True)
class Endpoint:
    """Where and how to call.

    Args:
        json_mode: SCHEMA, OBJECT, TEXT; "" begins with SCHEMA and falls back as the server refuses.
        prices: what its tokens cost.
    """

    name: str
    base_url: str
    model: str
    max_concurrency: int
    timeout_seconds: float
    json_mode: str = ""
    prices: Prices = NO_PRICES


class _Again(Exception):
    """This call failed in a way that another may not; pause: seconds that the server asks for, or 0."""

    def __init__(self, words: str, pause: float = 0) -> None:
        super().__init__(words)
        self.pause = pause


class LlmClient:
    """Calls one endpoint, at most max_concurrency at a time; redirects are not followed. Close it at the end.

    Args:
        key: gives the key for each call, for it may be replaced; "" for none.
    """

    def __init__(
        self, endpoint: Endpoint, key: Callable[[], str] = str, backoff_seconds: float = BACKOFF_SECONDS
    ) -> None:
        self.endpoint = endpoint
        self._mode = endpoint.json_mode or "SCHEMA"
        self._proven = bool(endpoint.json_mode)
        self._slots = asyncio.Semaphore(endpoint.max_concurrency)
        self._backoff_seconds = backoff_seconds
        self._key = key
        self._sent = ""
        self._http = httpx.AsyncClient(
            # The list of URLs that may be called would mean little if a server could send its callers elsewhere.
            follow_redirects=False,
            timeout=httpx.Timeout(endpoint.timeout_seconds, connect=min(10.0, endpoint.timeout_seconds)),
            limits=httpx.Limits(max_connections=endpoint.max_concurrency),
            trust_env=not _is_loopback(endpoint.base_url),
        )

    @property
    def json_mode(self) -> str:
        """How the server is asked for JSON now: SCHEMA, OBJECT or TEXT."""
        return self._mode

    async def close(self) -> None:
        """Close the connections; calls then fail."""
        await self._http.aclose()

    async def complete(
        self,
        messages: Sequence[dict[str, str]],
        schema: dict[str, Any],
        *,
        temperature: float,
        max_tokens: int,
        seed: int,
        patience: float = 0,
    ) -> Reply:
        """Return the reply to some messages; see ports.Llm.

        Connection errors, time-outs and the statuses that say "later" are tried again, five times in all and then until
        `patience` seconds have passed, with exponential backoff; a Retry-After header is honoured up to 30 s.

        Raises:
            Unavailable: LLM_UNAVAILABLE; the message names the endpoint and what it said, never the key.
        """
        body: dict[str, Any] = {
            "model": self.endpoint.model,
            "messages": list(messages),
            "temperature": temperature,
            "max_tokens": max_tokens,
            "seed": seed,
            "stream": False,
        }
        async with self._slots:
            began, attempt = time.monotonic(), 0
            while True:
                try:
                    return await self._call(body, schema, attempt)
                except _Again as error:
                    attempt += 1
                    if attempt >= TRIES and time.monotonic() - began >= patience:
                        raise self._unavailable(f"{error}, {attempt} times in a row") from error
                    longest = self._backoff_seconds * 2 ** min(attempt - 1, 16)
                    pause = error.pause or random.uniform(0, longest)  # noqa: S311 - jitter
                await asyncio.sleep(min(pause, MAX_PAUSE_SECONDS))

    async def _call(self, body: dict[str, Any], schema: dict[str, Any], attempt: int) -> Reply:
        while True:
            mode = self._mode
            answer = await self._post({**body, **_format(mode, schema)})
            if self._refuses_mode(answer.status_code, attempt) and mode in _FALLBACK:
                if mode == self._mode:
                    self._mode = _FALLBACK[mode]
                continue
            reply = self._read(answer, attempt)
            self._proven = True
            return reply

    def _refuses_mode(self, code: int, attempt: int) -> bool:
        """Whether a status may be about response_format: some servers answer 500 to one that they do not know."""
        return not self._proven and (code in (400, 422) or (code in (500, 501) and attempt > 0))

    async def _post(self, body: dict[str, Any]) -> httpx.Response:
        """Return the whole answer, of limited length, within the time that a call may take."""
        if self._http.is_closed:
            raise self._unavailable("no answer, for the endpoint was deleted")
        url = self.endpoint.base_url.rstrip("/") + "/chat/completions"
        seconds = self.endpoint.timeout_seconds
        key = self._sent = self._key()
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        try:
            async with asyncio.timeout(seconds), self._http.stream("POST", url, json=body, headers=headers) as answer:
                content = bytearray()
                async for block in answer.aiter_bytes():
                    content += block
                    if len(content) > MAX_REPLY_BYTES:
                        raise _Again(f"a reply of more than {MAX_REPLY_BYTES} bytes")
                return httpx.Response(answer.status_code, headers=_kept(answer.headers), content=bytes(content))
        except (httpx.TimeoutException, TimeoutError) as error:
            raise _Again(f"no answer within {seconds:g} s") from error
        except httpx.HTTPError as error:
            raise _Again(f"no connection ({type(error).__name__})") from error

    def _read(self, answer: httpx.Response, attempt: int) -> Reply:
        code = answer.status_code
        if code in _AGAIN:
            raise _Again(f"status {code}", _retry_after(answer))
        if code != 200:
            raise self._unavailable(f"status {code}: {_REFUSED.get(code) or self._scrub(answer.text)[:200]}")
        with contextlib.suppress(ValueError, TypeError, LookupError, AttributeError, RecursionError):
            return _reply(answer.json(), attempt)
        raise _Again("an answer that is not a chat completion")

    def _scrub(self, text: str) -> str:
        key = self._sent
        return " ".join((text.replace(key, "***") if key else text).split())

    def _unavailable(self, words: str) -> FineTuneFlowError:
        return Unavailable(
            f"The LLM at {self.endpoint.base_url} (model {self.endpoint.model}) gave {words}. Check its URL, model and "
            "key. Nothing is lost: `ftf dataset resume` goes on with a dataset.",
            reason="LLM_UNAVAILABLE",
        )


def _format(mode: str, schema: dict[str, Any]) -> dict[str, Any]:
    if mode == "SCHEMA":
        return {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "example", "strict": True, "schema": schema},
            }
        }
    return {"response_format": {"type": "json_object"}} if mode == "OBJECT" else {}


def _kept(headers: httpx.Headers) -> dict[str, str]:
    return {name: headers[name] for name in ("content-type", "retry-after") if name in headers}


def _reply(answer: Any, retries: int) -> Reply:
    """Read a chat completion. Raises ValueError, TypeError, LookupError or AttributeError if it is none."""
    message = answer["choices"][0]["message"]
    content = message["content"] or ""
    if not isinstance(content, str):
        content = "".join(part.get("text", "") for part in content)
    usage = answer.get("usage") or {}
    return Reply(
        text=content,
        prompt_tokens=int(usage.get("prompt_tokens") or 0),
        completion_tokens=int(usage.get("completion_tokens") or 0),
        retries=retries,
    )


def _retry_after(answer: httpx.Response) -> float:
    """Return the seconds of a Retry-After header, as a number or a date (RFC 9110, 10.2.3); 0 without one."""
    text = answer.headers.get("retry-after", "")
    with contextlib.suppress(ValueError):
        return max(0.0, float(text))
    with contextlib.suppress(TypeError, ValueError):
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    return 0.0


def _is_loopback(url: str) -> bool:
    return httpx.URL(url).host in ("127.0.0.1", "localhost", "::1")
