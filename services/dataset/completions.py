"""Chat completions in OpenAI's form: what a request says of the form of its reply, and what an answer says."""

from __future__ import annotations

from typing import Any

from services.dataset.ports import Reply

MOST_TOKENS = 1_000_000_000
"""Most tokens that a call is believed to have taken."""


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


def read(answer: Any, retries: int) -> Reply:
    """Read a chat completion. Raises ValueError, TypeError, LookupError or AttributeError if it is none."""
    message = answer["choices"][0]["message"]
    content = message["content"] or ""
    if not isinstance(content, str):
        content = "".join(part.get("text", "") for part in content)
    usage = answer.get("usage") or {}
    thought = message.get("reasoning_content") or message.get("reasoning") or ""
    return Reply(
        reasoning=thought if isinstance(thought, str) else "",
        text=content,
        prompt_tokens=_tokens(usage, "prompt_tokens"),
        completion_tokens=_tokens(usage, "completion_tokens"),
        retries=retries,
    )


def _tokens(usage: Any, name: str) -> int:
    """Return a count of tokens; whatever a server says, it is one that can be added up and stored."""
    return min(max(0, int(usage.get(name) or 0)), MOST_TOKENS)
