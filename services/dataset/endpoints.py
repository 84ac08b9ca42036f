"""LLM endpoints: where they are, and their keys, which never come back."""

from __future__ import annotations

import httpx

from finetuneflow.dataset.v1 import llm_endpoint_pb2
from services.common import ids
from services.common.dependencies import Dependency
from services.common.documents.port import Document
from services.common.errors import InvalidArgument, NotFound, NotReady
from services.common.numerals import plain
from services.common.protoform import user_fields
from services.common.resources import Resources
from services.dataset.allowlist import AllowList
from services.dataset.core.budget import Prices
from services.dataset.keys import Keys
from services.dataset.llm import Endpoint, LlmClient
from services.dataset.llmprobe import of_llm
from services.dataset.measures import Measures
from services.dataset.sharing import Share, Shares

DEFAULT_CONCURRENCY = 4
DEFAULT_TIMEOUT_SECONDS = 120
MOST_AT_ONCE = 256
MAX_PRICE = 1e6
_ALIVE = {"delete_time": None}
_NAMED = 20
"""Endpoints that a message names at most."""


class Endpoints:
    """The one place where endpoints change. Calls of one endpoint share its limit, whichever replica makes them."""

    def __init__(
        self, resources: Resources, keys: Keys, allowed: AllowList, shares: Shares, measures: Measures
    ) -> None:
        self.resources = resources
        self._keys = keys
        self._allowed = allowed
        self._shares = shares
        self._measures = measures
        self._clients: dict[str, LlmClient] = {}

    async def create(
        self, wanted: llm_endpoint_pb2.LlmEndpoint, endpoint_id: str, api_key: str, request_id: str, creator: str
    ) -> Document:
        """Record an endpoint; its key is kept apart, readable by the service alone, or is one of the server's own.

        Raises:
            AlreadyExists: the id is taken.
            InvalidArgument: the URL, the model, the key or a limit is wrong, or the URL is none of those that this
                server may call (LLM_NOT_ALLOWED).
        """
        api_key = self._keys.check(api_key, wanted.api_key_secret)
        chosen = ids.check_id(endpoint_id, "llm_endpoint_id") if endpoint_id else _made_up(request_id)
        fields = {
            **user_fields(wanted.display_name, wanted.meta, "llm_endpoint"),
            "base_url": self._url(wanted.base_url),
            "model": wanted.model,
            "max_concurrency": _within(
                wanted.max_concurrency, MOST_AT_ONCE if wanted.adaptive else DEFAULT_CONCURRENCY, 256, "max_concurrency"
            ),
            "adaptive": wanted.adaptive,
            "timeout_seconds": _within(wanted.timeout_seconds, DEFAULT_TIMEOUT_SECONDS, 3600, "timeout_seconds"),
            "json_mode": llm_endpoint_pb2.JsonMode.Name(wanted.json_mode),
            "has_api_key": bool(api_key or wanted.api_key_secret),
            "api_key_secret": wanted.api_key_secret,
            "prompt_price": _price(wanted.prompt_price, "prompt_price"),
            "completion_price": _price(wanted.completion_price, "completion_price"),
        }
        if not wanted.model:
            raise InvalidArgument(
                "model is empty. Name the model that the server is asked for.", field="llm_endpoint.model"
            )
        body = wanted.SerializeToString(deterministic=True)
        doc = await self.resources.create(
            f"llmEndpoints/{chosen}", fields, request_id=request_id, body=body, creator=creator
        )
        if api_key:
            self._keys.keep(doc, api_key)
        return doc

    async def delete(self, name: str) -> None:
        """Forget an endpoint, its key, and what previews took."""
        doc = await self.resources.delete(name)
        self._keys.forget(doc)
        client = self._clients.pop(doc["uid"], None)
        if client:
            await client.close()
        await self._shares.forget(doc["uid"])
        await self._measures.forget(doc["uid"])

    async def resolve(self, name: str) -> str:
        """Return the endpoint's name; for "" that of the only one there is.

        Raises:
            NotFound: there is none of that name.
            NotReady: none was named, and there is none, or several (NO_LLM_ENDPOINT).
        """
        if name:
            ids.parse_name(name, "llmEndpoints/*", "llm_endpoint")
            await self.resources.get(name)
            return name
        docs = await self.resources.collection.find(_ALIVE, limit=_NAMED)
        if len(docs) == 1:
            return str(docs[0]["_id"])
        known = ", ".join(str(doc["_id"]).removeprefix("llmEndpoints/") for doc in docs)
        words = (
            f"There are several LLM endpoints: {known}. Name one, as with `--llm NAME`."
            if docs
            else "There is no LLM endpoint. Run `ftf llm create`."
        )
        raise NotReady(words, reason="NO_LLM_ENDPOINT", field="spec.llm_endpoint")

    async def client(self, name: str) -> LlmClient:
        """Return the client of an endpoint; everybody's calls go through the same one.

        Raises:
            NotReady: the endpoint was deleted (NO_LLM_ENDPOINT), or may not be called any more (LLM_NOT_ALLOWED).
        """
        try:
            doc = await self.resources.get(name)
        except NotFound as error:
            raise NotReady(f"{name} was deleted. Make it again, then resume.", reason="NO_LLM_ENDPOINT") from error
        self._allowed.check_use(doc["base_url"])
        if doc["uid"] not in self._clients:
            mode = doc["json_mode"].removeprefix("JSON_MODE_")
            endpoint = Endpoint(
                name=name,
                base_url=doc["base_url"],
                model=doc["model"],
                max_concurrency=doc["max_concurrency"],
                timeout_seconds=doc["timeout_seconds"],
                json_mode="" if mode == "UNSPECIFIED" else mode,
                prices=prices(doc),
                adaptive=doc.get("adaptive", False),
            )
            share = Share(self._shares, doc["uid"], endpoint.max_concurrency)
            self._clients[doc["uid"]] = LlmClient(endpoint, self._keys.of(doc), share=share)
        return self._clients[doc["uid"]]

    async def dependencies(self) -> list[Dependency]:
        """Return the servers of all endpoints, at most a thousand, for CheckDependencies."""
        docs = await self.resources.collection.find(_ALIVE, limit=1000)
        return [self._dependency(doc) for doc in docs]

    def _dependency(self, doc: Document) -> Dependency:
        name, url = str(doc["_id"]), doc["base_url"]
        try:
            self._allowed.check_use(url)
        except NotReady as error:
            return Dependency(name, url, state="FAILS", message=str(error))
        return of_llm(name, url, doc["model"], self._keys.of(doc))

    def _url(self, text: str) -> str:
        url = check_url(text)
        self._allowed.check(url)
        return url

    async def close(self) -> None:
        """Close every client."""
        for client in self._clients.values():
            await client.close()


def check_url(text: str) -> str:
    """Return a base URL if it can be one.

    Raises:
        InvalidArgument: not http or https, without a host, or with a user, a password, a query or a fragment in it.
    """
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL:
        url = httpx.URL("")
    if url.scheme not in ("http", "https") or not url.raw_host or url.userinfo or url.query or url.fragment:
        raise InvalidArgument(
            "base_url is not of the form http://host:port/v1. Give it without key, user or query.",
            field="llm_endpoint.base_url",
        )
    return text.rstrip("/").removesuffix("/chat/completions")


def _within(value: int, default: int, most: int, field: str) -> int:
    if not 0 <= value <= most:
        raise InvalidArgument(f"{field} is {value}; use 1 to {most}, or 0.", field=f"llm_endpoint.{field}")
    return value or default


def prices(endpoint: Document) -> Prices:
    """Return an endpoint's prices."""
    return Prices(endpoint.get("prompt_price", 0.0), endpoint.get("completion_price", 0.0))


def _price(value: float, field: str) -> float:
    if not 0 <= value <= MAX_PRICE:
        raise InvalidArgument(f"{field} is {plain(value)}; use 0 to {plain(MAX_PRICE)}.", field=f"llm_endpoint.{field}")
    return value


def _made_up(request_id: str) -> str:
    return ids.derived_id("llm", request_id) if request_id else ids.new_id("llm")
