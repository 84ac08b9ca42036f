"""The fields of an LLM endpoint: their ranges and defaults, and which of them an update changes."""

from __future__ import annotations

from collections.abc import Sequence

import httpx
from google.protobuf.field_mask_pb2 import FieldMask

from finetuneflow.dataset.v1 import llm_endpoint_pb2
from services.common.documents.port import Document
from services.common.errors import Conflict, InvalidArgument
from services.common.numerals import plain
from services.common.protoform import check_mask, user_fields
from services.dataset import form
from services.dataset.core.budget import Prices

DEFAULT_CONCURRENCY = 4
DEFAULT_TIMEOUT_SECONDS = 120
MOST_AT_ONCE = 256
MAX_PRICE = 1e6

KEY_NAME = "api_key_secret"
CHANGEABLE = (
    *("display_name", "meta.labels", "meta.annotations", "base_url", "max_concurrency", "adaptive", "timeout_seconds"),
    *("json_mode", KEY_NAME, "prompt_price", "completion_price"),
)


def fields(wanted: llm_endpoint_pb2.LlmEndpoint) -> Document:
    """Return what is recorded of an endpoint, all but whether it has a key.

    Raises:
        InvalidArgument: the URL, the model or a limit is wrong.
    """
    if not wanted.model:
        raise InvalidArgument(
            "model is empty. Name the model that the server is asked for.", field="llm_endpoint.model"
        )
    usual = usual_concurrency(wanted.adaptive)
    return {
        **user_fields(wanted.display_name, wanted.meta, "llm_endpoint"),
        "base_url": check_url(wanted.base_url),
        "model": wanted.model,
        "max_concurrency": _within(wanted.max_concurrency, usual, MOST_AT_ONCE, "max_concurrency"),
        "adaptive": wanted.adaptive,
        "timeout_seconds": _within(wanted.timeout_seconds, DEFAULT_TIMEOUT_SECONDS, 3600, "timeout_seconds"),
        "json_mode": llm_endpoint_pb2.JsonMode.Name(wanted.json_mode),
        "api_key_secret": wanted.api_key_secret,
        "prompt_price": _price(wanted.prompt_price, "prompt_price"),
        "completion_price": _price(wanted.completion_price, "completion_price"),
    }


def paths(doc: Document, wanted: llm_endpoint_pb2.LlmEndpoint, mask: Sequence[str]) -> list[str]:
    """Return the fields that an update changes: those of the mask; for an empty one all that are set.

    Raises:
        InvalidArgument: the mask names another one, or the model is to be another.
    """
    if ("model" in mask or not mask) and wanted.model not in ("", doc["model"]):
        raise InvalidArgument(
            "model cannot be changed: what was asked is recorded under it. Make another endpoint.",
            field="llm_endpoint.model",
        )
    check_mask(mask, CHANGEABLE)
    return list(mask) or [path for path in CHANGEABLE if _set(wanted, path)]


def merged(doc: Document, wanted: llm_endpoint_pb2.LlmEndpoint, changed: Sequence[str]) -> Document:
    """Return an endpoint's fields, those that change as they are wanted. Raises InvalidArgument as `fields` does.

    The default of max_concurrency follows `adaptive`.
    """
    whole, source = form.endpoint(doc), llm_endpoint_pb2.LlmEndpoint()
    source.CopyFrom(wanted)
    source.meta.SetInParent()  # what is cleared in an absent message would stay
    if doc["max_concurrency"] == usual_concurrency(whole.adaptive) and "adaptive" in changed:
        whole.max_concurrency = 0
    FieldMask(paths=changed).MergeMessage(source, whole, replace_message_field=True, replace_repeated_field=True)
    return fields(whole)


def usual_concurrency(adaptive: bool) -> int:
    """Return the default of max_concurrency."""
    return MOST_AT_ONCE if adaptive else DEFAULT_CONCURRENCY


def own_key(endpoint: Document) -> bool:
    """Return whether an endpoint has a key that came with a call."""
    return bool(endpoint["has_api_key"] and not endpoint.get(KEY_NAME))


def server(endpoint: Document) -> tuple[str, str, int | None]:
    """Return which server an endpoint is of: scheme, host and port."""
    url = httpx.URL(endpoint["base_url"])
    return url.scheme, url.host, url.port


def check_move(before: Document, after: Document) -> None:
    """Refuse to take a key that came with a call to another server: whoever may change an endpoint could read it there.

    Raises:
        InvalidArgument: so it would be.
    """
    if own_key(before) and server(before) != server(after):
        raise InvalidArgument(
            f"The key was given for {before['base_url']} and is not sent to another server. Give it again, or take it "
            "away by an empty api_key_secret in the mask.",
            field="api_key",
        )


def check_same(read: Document, now: Document) -> None:
    """Refuse a key that was given for the server that was read, if it is another one now. Raises Conflict."""
    if server(read) != server(now):
        raise Conflict(f"{now['_id']} has changed since you read it. Read it again.", field="llm_endpoint.base_url")


def prices(endpoint: Document) -> Prices:
    """Return an endpoint's prices."""
    return Prices(endpoint.get("prompt_price", 0.0), endpoint.get("completion_price", 0.0))


def check_url(text: str) -> str:
    """Return a base URL if it can be one.

    Raises:
        InvalidArgument: not http or https, without a host, with a port outside of 1 to 65535, or with a user, a
            password, a query or a fragment in it.
    """
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL:
        url = httpx.URL("")
    wrong = url.scheme not in ("http", "https") or not url.raw_host or url.userinfo or url.query or url.fragment
    if wrong or not 0 < (80 if url.port is None else url.port) < 65536:
        raise InvalidArgument(
            "base_url is not of the form http://host:port/v1 with a port of 1 to 65535. Give it without key, user or "
            "query.",
            field="llm_endpoint.base_url",
        )
    return text.rstrip("/").removesuffix("/chat/completions")


def _set(wanted: llm_endpoint_pb2.LlmEndpoint, path: str) -> bool:
    holder, _, name = path.rpartition(".")
    return bool(getattr(wanted.meta if holder else wanted, name))


def _within(value: int, default: int, most: int, field: str) -> int:
    if not 0 <= value <= most:
        raise InvalidArgument(f"{field} is {value}; use 1 to {most}, or 0.", field=f"llm_endpoint.{field}")
    return value or default


def _price(value: float, field: str) -> float:
    if not 0 <= value <= MAX_PRICE:
        raise InvalidArgument(f"{field} is {plain(value)}; use 0 to {plain(MAX_PRICE)}.", field=f"llm_endpoint.{field}")
    return value
