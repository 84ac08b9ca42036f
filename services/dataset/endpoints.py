"""LLM endpoints: where they are, and their keys, which never come back."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Sequence

from finetuneflow.dataset.v1 import llm_endpoint_pb2
from services.common import ids
from services.common.dependencies import Dependency
from services.common.documents.port import Document
from services.common.errors import Conflict, InvalidArgument, NotFound, NotReady
from services.common.resources import Resources
from services.dataset import endpointfields
from services.dataset.allowlist import AllowList
from services.dataset.endpointfields import KEY_NAME, own_key, prices
from services.dataset.keys import Key, Keys
from services.dataset.llm import Endpoint, LlmClient
from services.dataset.llmprobe import of_llm
from services.dataset.measures import Measures
from services.dataset.sharing import Share, Shares

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
        fields = {**self._allowed_fields(endpointfields.fields(wanted)), "has_api_key": bool(api_key)}
        fields["has_api_key"] |= bool(wanted.api_key_secret)
        body = wanted.SerializeToString(deterministic=True)
        doc = await self.resources.create(
            f"llmEndpoints/{chosen}", fields, request_id=request_id, body=body, creator=creator
        )
        if api_key:
            self._keys.keep(doc, api_key)
        return doc

    async def update(self, wanted: llm_endpoint_pb2.LlmEndpoint, mask: Sequence[str], api_key: str) -> Document:
        """Change fields of an endpoint, or its key; calls of this replica that begin afterwards are made by it.

        Raises:
            NotFound: there is none of that name.
            Conflict: the etag is old, or somebody gave it another server meanwhile.
            InvalidArgument: as for create; or the mask names what cannot be changed.
        """
        before = await self.resources.get(wanted.name)
        changed = endpointfields.paths(before, wanted, mask)
        named = wanted.api_key_secret if KEY_NAME in changed else ""
        api_key = self._keys.check(api_key, named)
        key = secrets.token_hex(4) if api_key else ""
        replaced: Document = {}

        def mutate(doc: Document) -> None:
            replaced.update(doc)
            doc.update(self._allowed_fields(endpointfields.merged(doc, wanted, changed)))
            if api_key:
                endpointfields.check_same(before, replaced)
                doc.update(api_key_secret="", has_api_key=True, key=key)
            elif KEY_NAME in changed:
                doc.update(has_api_key=bool(named), key="")
            else:
                endpointfields.check_move(replaced, doc)

        if api_key:
            self._keys.keep({**before, "key": key}, api_key)
        try:
            doc = await self.resources.change(wanted.name, mutate, etag=wanted.meta.etag, user=True)
        except (Conflict, InvalidArgument, NotFound):
            if api_key:
                self._keys.forget({**before, "key": key})
            raise
        await self._changed(replaced, doc)
        return doc

    async def _changed(self, before: Document, doc: Document) -> None:
        """Take up what was changed of an endpoint, and forget what it was before."""
        if own_key(before) and (not own_key(doc) or before.get("key") != doc.get("key")):
            self._keys.forget(before)
        if endpointfields.server(before) != endpointfields.server(doc):
            await self._measures.forget(doc["uid"])
        if client := self._clients.get(doc["uid"]):
            with contextlib.suppress(NotReady):  # its key is missed by whoever calls it next
                await client.become(*self._how(doc))

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
        client = self._clients.get(doc["uid"])
        if client is None:
            share = Share(self._shares, doc["uid"], doc["max_concurrency"])
            client = self._clients[doc["uid"]] = LlmClient(*self._how(doc), share=share)
        elif client.endpoint.revision < doc["revision"]:  # changed by another replica
            await client.become(*self._how(doc))
        return client

    def _how(self, doc: Document) -> tuple[Endpoint, Key]:
        """Return how an endpoint is called, and what gives its key."""
        mode = doc["json_mode"].removeprefix("JSON_MODE_")
        endpoint = Endpoint(
            name=doc["_id"],
            base_url=doc["base_url"],
            model=doc["model"],
            max_concurrency=doc["max_concurrency"],
            timeout_seconds=doc["timeout_seconds"],
            json_mode="" if mode == "UNSPECIFIED" else mode,
            prices=prices(doc),
            adaptive=doc.get("adaptive", False),
            revision=doc["revision"],
        )
        return endpoint, self._keys.of(doc)

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

    def _allowed_fields(self, fields: Document) -> Document:
        self._allowed.check(fields["base_url"])
        return fields

    async def close(self) -> None:
        """Close every client."""
        for client in self._clients.values():
            await client.close()


def _made_up(request_id: str) -> str:
    return ids.derived_id("llm", request_id) if request_id else ids.new_id("llm")
