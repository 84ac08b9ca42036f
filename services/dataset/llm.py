"""A client of OpenAI-compatible servers of chat completions and embeddings: Ollama, Ollama Cloud, vLLM, llama.cpp, …"""

from __future__ import annotations

import asyncio
import contextlib
import email.utils
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from services.common.errors import FineTuneFlowError, Unavailable
from services.dataset.absence import Absence
from services.dataset.completions import PROBE, read, response_format, unsupported, without
from services.dataset.core.budget import NO_PRICES, Prices
from services.dataset.core.pace import Pace
from services.dataset.core.vectors import MAX_ANSWER_BYTES, Embedded, embedded
from services.dataset.learnt import Learnt
from services.dataset.ports import Reply
from services.dataset.sharing import Share
from services.dataset.slots import Slots
from services.dataset.transport import MAX_REPLY_BYTES, Answer, NoAnswer, Transport
from services.dataset.tries import BACKOFF_SECONDS, Again, Answered, CallRefused, Tries

PATIENCE_SECONDS = 60.0
"""How long generation goes on asking an LLM that is away before the dataset is paused."""
START = 4
"""Calls in flight at first where the number is to be found."""

_CHAT = "/chat/completions"
_EMBEDDINGS = "/embeddings"
_AGAIN = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
_BUSY = frozenset({429, 503, 529})
_REFUSED = {
    401: "the key is missing or wrong",
    403: "the key is not allowed to",
    404: "the URL or the model is unknown",
}
_OF_THE_CALL = (400, 413, 422)


@dataclass(frozen=True)
class Endpoint:
    """Where and how to call.

    Args:
        json_mode: SCHEMA, OBJECT, TEXT; "" begins with SCHEMA and falls back as the server refuses.
        prices: what its tokens cost.
        adaptive: whether the number of calls in flight is found by trying, from few up to max_concurrency.
        revision: of the record that this was read from.
    """

    name: str
    base_url: str
    model: str
    max_concurrency: int
    timeout_seconds: float
    json_mode: str = ""
    prices: Prices = NO_PRICES
    adaptive: bool = False
    revision: int = 0


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
        self._learnt = Learnt(endpoint.json_mode)
        self.slots = Slots(_pace(endpoint), 0 if share else endpoint.max_concurrency)
        self.absence = Absence()
        self._share = share
        self._tries = Tries(self.slots, self.absence, backoff_seconds, self._told, self._hold)
        self._key = key
        self._http = Transport(endpoint.base_url.rstrip("/"))

    async def become(self, endpoint: Endpoint, key: Callable[[], str]) -> None:
        """Make calls as the endpoint says now, if that is newer than what is known.

        Calls in flight to a URL that it had before are made again, to the new one.
        """
        before = self.endpoint
        if endpoint.revision <= before.revision:
            return
        self.endpoint, self._key = endpoint, key
        moved = endpoint.base_url != before.base_url
        if moved or endpoint.json_mode != before.json_mode:
            self._learnt = Learnt(endpoint.json_mode)
        if moved or endpoint.adaptive != before.adaptive:
            self.slots.pace = _pace(endpoint)
        self.slots.pace.bound(endpoint.max_concurrency, _start(endpoint))
        if self._share:
            self._share.limit(endpoint.max_concurrency)
        else:
            self.slots.allow(endpoint.max_concurrency, float("inf"))
        if moved:
            old, self._http = self._http, Transport(endpoint.base_url.rstrip("/"))
            await old.close()

    @property
    def json_mode(self) -> str:
        """How the server is asked for JSON now: SCHEMA, OBJECT or TEXT."""
        return self._learnt.mode

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
        `patience` seconds have passed, with exponential backoff; a Retry-After header is honoured up to 30 s. Where no
        other call was answered before the last try, one of a few words is made then, and where that is answered, this
        one once more: it tells whose fault it is.

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

        async def call(attempt: int) -> Reply:
            return await self._call(body, schema, attempt)

        async def probe(attempt: int) -> Reply:
            return self._completion(*await self._chat({**PROBE, "model": self.endpoint.model}), attempt)

        reply, late = await self._tries.insisted(_CHAT, call, probe, patience)
        return replace(reply, late=late)

    async def embed(self, model: str, texts: Sequence[str], *, patience: float = 0) -> Embedded:
        """Return the vectors of some texts, in one call to `/embeddings`; tried again as complete does.

        Raises:
            CallRefused: the server takes others, perhaps.
            Unavailable: LLM_UNAVAILABLE.
        """

        async def of(some: Sequence[str], attempt: int) -> Embedded:
            answer, key = await self._post(_EMBEDDINGS, {"model": model, "input": list(some)}, MAX_ANSWER_BYTES)
            kind = "a list of embeddings"
            # Megabytes of numbers: reading them takes more than the event loop may be held.
            return await asyncio.to_thread(
                self._read, answer, key, kind, lambda found: embedded(found, len(some), attempt)
            )

        found, late = await self._tries.insisted(_EMBEDDINGS, partial(of, texts), partial(of, ["word"]), patience)
        return replace(found, late=late)

    def _hold(self) -> None:
        if self._share and not self._http.closed:
            self._share.hold(self.slots)

    async def _call(self, body: dict[str, Any], schema: dict[str, Any], attempt: int) -> Reply:
        learnt = self._learnt
        mode = learnt.mode
        while True:
            answer, key = await self._chat({**body, **response_format(mode, schema)})
            if other := learnt.other_mode(mode, answer.status, attempt):
                mode = other
                continue
            reply = self._completion(answer, key, attempt)
            # Only an answer proves a way, and only the way that it was asked in: a call that is too long is refused
            # in every way while others are on theirs.
            if not learnt.proven:
                learnt.mode, learnt.proven = mode, True
            return reply

    async def _chat(self, body: dict[str, Any]) -> tuple[Answer, str]:
        """Post a chat's body, without the parameters that the server says it does not support."""
        learnt = self._learnt
        refused = learnt.unsupported
        while True:
            sent = without(body, refused)
            answer, key = await self._post(_CHAT, sent)
            if answer.status == 200:
                # As for JSON, only an answer proves it.
                learnt.unsupported |= refused
                return answer, key
            more = unsupported(answer.status, answer.text, sent)
            if not more:
                return answer, key
            refused |= more

    def _completion(self, answer: Answer, key: str, attempt: int) -> Reply:
        return self._read(answer, key, "a chat completion", lambda found: read(found, attempt))

    async def _post(self, path: str, body: dict[str, Any], most_bytes: int = MAX_REPLY_BYTES) -> tuple[Answer, str]:
        """Return the whole answer, within the time that a call may take, and the key that was sent."""
        if self._http.closed:
            raise self._unavailable("no answer, for the endpoint was deleted")
        key = self._key()
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        try:
            return await self._http.post(path, body, headers, self.endpoint.timeout_seconds, most_bytes), key
        except NoAnswer as error:
            raise Again(str(error), late=error.late) from error

    def _read(self, answer: Answer, key: str, kind: str, form: Callable[[Any], Answered]) -> Answered:
        code = answer.status
        if code in _AGAIN:
            raise Again(f"status {code}", _retry_after(answer.retry_after), busy=code in _BUSY)
        if code != 200:
            self.absence.answered()
        if code in _OF_THE_CALL:
            words = f"status {code}: {_scrubbed(answer.text, key)[:200]}"
            raise CallRefused(self._told(words, "A passage may be longer than the model's context."))
        if code != 200:
            raise self._unavailable(f"status {code}: {_REFUSED.get(code) or _scrubbed(answer.text, key)[:200]}")
        with contextlib.suppress(ValueError, TypeError, LookupError, AttributeError, RecursionError, OverflowError):
            return form(answer.json())
        raise Again(f"an answer that is not {kind}")

    def _unavailable(self, words: str) -> FineTuneFlowError:
        return Unavailable(self._told(words), reason="LLM_UNAVAILABLE")

    def _told(self, words: str, perhaps: str = "") -> str:
        remedy = " ".join(filter(None, (perhaps, "Check its URL, model and key.")))
        return f"The LLM at {self.endpoint.base_url} (model {self.endpoint.model}) gave {words}. {remedy}"


def _start(endpoint: Endpoint) -> int:
    return START if endpoint.adaptive else endpoint.max_concurrency


def _pace(endpoint: Endpoint) -> Pace:
    return Pace(endpoint.max_concurrency, _start(endpoint))


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
