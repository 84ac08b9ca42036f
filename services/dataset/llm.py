"""A client of OpenAI-compatible servers of chat completions and embeddings: Ollama, Ollama Cloud, vLLM, llama.cpp, …"""

from __future__ import annotations

import asyncio
import contextlib
import email.utils
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from services.common.errors import FineTuneFlowError, Unavailable
from services.dataset.absence import Absence
from services.dataset.completions import read, response_format
from services.dataset.core.budget import NO_PRICES, Prices
from services.dataset.core.pace import Pace
from services.dataset.core.vectors import MAX_ANSWER_BYTES, Embedded, embedded
from services.dataset.ports import Reply
from services.dataset.sharing import Share
from services.dataset.slots import Slot, Slots
from services.dataset.transport import MAX_REPLY_BYTES, Answer, NoAnswer, Transport

TRIES = 5
"""Calls made for one reply, at least where there is patience, else at most."""
PATIENCE_SECONDS = 60.0
"""How long generation goes on asking an LLM that is away before the dataset is paused."""
BACKOFF_SECONDS = 0.5
"""Pause after the first failure; doubled after each, with full jitter (Brooker, "Exponential Backoff And Jitter")."""
MAX_PAUSE_SECONDS = 30.0
START = 4
"""Calls in flight at first where the number is to be found."""

_AGAIN = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
_BUSY = frozenset({429, 503, 529})
_REFUSED = {
    401: "the key is missing or wrong",
    403: "the key is not allowed to",
    404: "the URL or the model is unknown",
}
_OF_THE_CALL = (400, 413, 422)
Answered = TypeVar("Answered")
_FALLBACK = {"SCHEMA": "OBJECT", "OBJECT": "TEXT"}


@dataclass(frozen=True)
class Endpoint:
    """Where and how to call.

    Args:
        json_mode: SCHEMA, OBJECT, TEXT; "" begins with SCHEMA and falls back as the server refuses.
        prices: what its tokens cost.
        adaptive: whether the number of calls in flight is found by trying, from few up to max_concurrency.
    """

    name: str
    base_url: str
    model: str
    max_concurrency: int
    timeout_seconds: float
    json_mode: str = ""
    prices: Prices = NO_PRICES
    adaptive: bool = False


class CallRefused(Unavailable):
    """The server answered, and refuses a call for good. It may take others: see refusals."""

    def __init__(self, words: str) -> None:
        super().__init__(words, reason="LLM_UNAVAILABLE")


class _Again(Exception):
    """This call failed in a way that another may not.

    Args:
        pause: seconds that the server asks for, or 0.
        busy: whether the server had no room for it.
        late: whether it ran into its time limit.
    """

    def __init__(self, words: str, pause: float = 0, busy: bool = False, late: bool = False) -> None:
        super().__init__(words)
        self.pause = min(pause, MAX_PAUSE_SECONDS)
        self.busy = busy
        self.late = late


class LlmClient:
    """Calls one endpoint, at most max_concurrency at a time, fewer where it refuses. Close it at the end.

    Args:
        key: gives the key for each call, for it may be replaced; "" for none.
        share: where there may be other replicas, this one's share of the calls at a time.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        key: Callable[[], str] = str,
        backoff_seconds: float = BACKOFF_SECONDS,
        share: Share | None = None,
    ) -> None:
        self.endpoint = endpoint
        self._mode = endpoint.json_mode or "SCHEMA"
        self._proven = bool(endpoint.json_mode)
        most = endpoint.max_concurrency
        self.slots = Slots(Pace(most, START if endpoint.adaptive else most), 0 if share else most)
        self.absence = Absence()
        self._share = share
        self._backoff_seconds = backoff_seconds
        self._key = key
        self._http = Transport(endpoint.base_url.rstrip("/"))

    @property
    def json_mode(self) -> str:
        """How the server is asked for JSON now: SCHEMA, OBJECT or TEXT."""
        return self._mode

    async def close(self) -> None:
        """Close the connections; calls then fail."""
        await self._http.close()
        if self._share:
            await self._share.close()
            self.slots.allow(self.endpoint.max_concurrency, float("inf"))

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
            CallRefused: this call may be what is wrong, and another one not.
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
        reply, late = await self._insisted(lambda attempt: self._call(body, schema, attempt), patience)
        return replace(reply, late=late)

    async def embed(self, model: str, texts: Sequence[str], *, patience: float = 0) -> Embedded:
        """Return the vectors of some texts, in one call to `/embeddings`; tried again as complete does.

        Raises:
            CallRefused: the server takes others, perhaps.
            Unavailable: LLM_UNAVAILABLE.
        """
        body = {"model": model, "input": list(texts)}

        async def call(attempt: int) -> Embedded:
            answer, key = await self._post("/embeddings", body, MAX_ANSWER_BYTES)
            kind = "a list of embeddings"
            # Megabytes of numbers: reading them takes more than the event loop may be held.
            return await asyncio.to_thread(
                self._read, answer, key, kind, lambda found: embedded(found, len(texts), attempt)
            )

        found, late = await self._insisted(call, patience)
        return replace(found, late=late)

    async def _insisted(self, call: Callable[[int], Awaitable[Answered]], patience: float) -> tuple[Answered, int]:
        """Make a call, which gets the number of those that failed before, until it is answered.

        Returns: the answer, and how many of those that failed ran into their time limit.
        """
        began, attempt, late = time.monotonic(), 0, 0
        while True:
            if self._share and not self._http.closed:
                self._share.hold(self.slots)
            try:
                async with self.slots.one() as slot:
                    return await self._tried(slot, call(attempt)), late
            except _Again as error:
                attempt, late = attempt + 1, late + error.late
                self.absence.failed(str(error), began + patience - time.monotonic())
                if attempt >= TRIES and time.monotonic() - began >= patience:
                    raise self._unavailable(f"{error}, {attempt} times in a row") from error
                longest = self._backoff_seconds * 2 ** min(attempt - 1, 16)
                pause = error.pause or random.uniform(0, min(longest, MAX_PAUSE_SECONDS))  # noqa: S311 - jitter
            await asyncio.sleep(pause)

    async def _tried(self, slot: Slot, call: Awaitable[Answered]) -> Answered:
        """Make a call and let the endpoint's pace know what came of it."""
        try:
            reply = await call
        except _Again as error:
            if error.busy or error.late:
                slot.refused(error.pause, error.late)
            raise
        slot.answered()
        self.absence.answered()
        return reply

    async def _call(self, body: dict[str, Any], schema: dict[str, Any], attempt: int) -> Reply:
        mode = self._mode
        while True:
            answer, key = await self._post("/chat/completions", {**body, **response_format(mode, schema)})
            if other := self._other_mode(mode, answer.status, attempt):
                mode = other
                continue
            reply = self._read(answer, key, "a chat completion", lambda found: read(found, attempt))
            # Only an answer proves a way, and only the way that it was asked in: a call that is too long is refused
            # in every way while others are on theirs.
            if not self._proven:
                self._mode, self._proven = mode, True
            return reply

    def _other_mode(self, mode: str, code: int, attempt: int) -> str:
        """Return how to ask instead after a status that may be about response_format; "" after another.

        Some servers answer 500 to a response_format that they do not know.
        """
        if code not in (400, 422) and not (code in (500, 501) and attempt > 0):
            return ""
        if self._proven:
            return self._mode if mode != self._mode else ""
        return _FALLBACK.get(mode, "")

    async def _post(self, path: str, body: dict[str, Any], most_bytes: int = MAX_REPLY_BYTES) -> tuple[Answer, str]:
        """Return the whole answer, within the time that a call may take, and the key that was sent."""
        if self._http.closed:
            raise self._unavailable("no answer, for the endpoint was deleted")
        key = self._key()
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        try:
            return await self._http.post(path, body, headers, self.endpoint.timeout_seconds, most_bytes), key
        except NoAnswer as error:
            raise _Again(str(error), late=error.late) from error

    def _read(self, answer: Answer, key: str, kind: str, form: Callable[[Any], Answered]) -> Answered:
        code = answer.status
        if code in _AGAIN:
            raise _Again(f"status {code}", _retry_after(answer.retry_after), busy=code in _BUSY)
        if code != 200:
            self.absence.answered()
        if code in _OF_THE_CALL:
            words = f"status {code}: {_scrubbed(answer.text, key)[:200]}"
            raise CallRefused(self._told(words, "A passage may be longer than the model's context."))
        if code != 200:
            raise self._unavailable(f"status {code}: {_REFUSED.get(code) or _scrubbed(answer.text, key)[:200]}")
        with contextlib.suppress(ValueError, TypeError, LookupError, AttributeError, RecursionError, OverflowError):
            return form(answer.json())
        raise _Again(f"an answer that is not {kind}")

    def _unavailable(self, words: str) -> FineTuneFlowError:
        return Unavailable(self._told(words), reason="LLM_UNAVAILABLE")

    def _told(self, words: str, perhaps: str = "") -> str:
        remedy = " ".join(filter(None, (perhaps, "Check its URL, model and key.")))
        return f"The LLM at {self.endpoint.base_url} (model {self.endpoint.model}) gave {words}. {remedy}"


def _scrubbed(text: str, key: str) -> str:
    """Return what a server said on one line, without the key that it was sent."""
    return " ".join((text.replace(key, "***") if key else text).split())


def _retry_after(text: str) -> float:
    """Return the seconds of a Retry-After header, as a number or a date (RFC 9110, 10.2.3); 0 without one."""
    with contextlib.suppress(ValueError):
        return max(0.0, float(text))
    with contextlib.suppress(TypeError, ValueError):
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    return 0.0
