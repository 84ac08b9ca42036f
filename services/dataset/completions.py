"""Chat completions in OpenAI's form: what a request says of the form of its reply, and what an answer says."""

from __future__ import annotations

from typing import Any

from services.dataset.core.budget import counted
from services.dataset.ports import Reply

PROBE: dict[str, Any] = {"messages": [{"role": "user", "content": "Say yes."}], "max_tokens": 16, "stream": False}
"""A call that no server fails at that is there."""


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
