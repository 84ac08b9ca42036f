"""Chat completions in OpenAI's form: what a request says of the form of its reply, and what an answer says."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from services.dataset.core.budget import counted
from services.dataset.ports import Reply

PROBE: dict[str, Any] = {"messages": [{"role": "user", "content": "Say yes."}], "max_tokens": 16, "stream": False}
"""A call that no server fails at that is there."""

_LOOKED_AT = 2000
"""Characters of an error that are looked at."""
_NOT = r"(?:unsupported|not supported|n[o']t support|unknown|unrecogni[sz]ed|unexpected|not permitted|not allowed)"
_REFUSED = {
    name: re.compile(rf"{_NOT}\b[^.]{{0,40}}?\b{name}\b|\b{name}\b[^.]{{0,40}}?{_NOT}", re.IGNORECASE)
    for name in ("max_tokens", "temperature", "seed")
}


def response_format(mode: str, schema: dict[str, Any]) -> dict[str, Any]:
    """Return what a request says of the form of its reply, by SCHEMA, OBJECT or TEXT."""
    if mode == "SCHEMA":
        return {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "example", "strict": True, "schema": schema},
            }
        }
    return {"response_format": {"type": "json_object"}} if mode == "OBJECT" else {}


def without(body: Mapping[str, Any], unsupported: Collection[str]) -> dict[str, Any]:
    """Return what is sent of a request to a server that does not support some of its parameters.

    max_tokens then goes by its newer name, max_completion_tokens; others are left out.
    """
    left = {name: value for name, value in body.items() if name not in unsupported}
    renamed = "max_tokens" in body and "max_tokens" in unsupported
    return {**left, "max_completion_tokens": body["max_tokens"]} if renamed else left


def unsupported(status: int, text: str, sent: Collection[str]) -> frozenset[str]:
    """Return which of the parameters sent an answer refuses: max_tokens, temperature or seed, whatever their value.

    A value that is out of range is the call's fault: it is no reason to leave the parameter out.
    """
    if status not in (400, 422):
        return frozenset()
    said = " ".join(text[:_LOOKED_AT].split())
    return frozenset(name for name, refused in _REFUSED.items() if name in sent and refused.search(said))


def read(answer: Any, retries: int) -> Reply:
    """Read a chat completion. Raises ValueError, TypeError, LookupError or AttributeError if it is none."""
    choice = answer["choices"][0]
    message = choice["message"]
    if not message:
        raise LookupError("no message")
    # Some servers leave the content out where a model has thought and said nothing.
    content = message.get("content") or ""
    if not isinstance(content, str):
        content = "".join(part.get("text", "") for part in content)
    usage = answer.get("usage") or {}
    thought = message.get("reasoning_content") or message.get("reasoning") or ""
    return Reply(
        reasoning=thought if isinstance(thought, str) else "",
        finish_reason=str(choice.get("finish_reason") or "")[:40],
        text=content,
        prompt_tokens=counted(usage, "prompt_tokens"),
        completion_tokens=counted(usage, "completion_tokens"),
        retries=retries,
    )
