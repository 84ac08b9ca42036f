"""Messages and tools as others write them, brought into one form."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from services.dataset.core.formats.record import Message, Refused

MOST_MESSAGES = 1_000
_UNSOUND = re.compile("[\0\ud800-\udfff]")
_ROLES = {
    "system": "system", "developer": "system", "user": "user", "human": "user", "assistant": "assistant",
    "gpt": "assistant", "chatgpt": "assistant", "bot": "assistant", "model": "assistant", "tool": "tool",
    "function": "tool", "observation": "tool",
}  # fmt: skip


def text(value: Any, field: str, *, empty: bool = False) -> str:
    """Return a text as it is.

    Raises:
        Refused: MISSING_FIELD, WRONG_TYPE, EMPTY_FIELD or BAD_CHARACTER.
    """
    if value is None and not empty:
        raise Refused("MISSING_FIELD", f"{field} is missing. Write it, or map another column to it.", field)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise Refused("WRONG_TYPE", f"{field} is not text. Write a string.", field)
    if not empty and not value.strip():
        raise Refused("EMPTY_FIELD", f"{field} is empty. Fill it in, or remove the row.", field)
    return sound(value, field)


def raw(value: str) -> tuple[Message, ...]:
    """Return raw text as the store keeps it: what nobody asked, and the text."""
    return ({"role": "user", "content": ""}, {"role": "assistant", "content": value})


def sound(value: str, field: str) -> str:
    """Refuse text that no store or tokenizer takes.

    Raises:
        Refused: BAD_CHARACTER for a NUL or half of a surrogate pair.
    """
    if _UNSOUND.search(value):
        raise Refused("BAD_CHARACTER", f"{field} has a NUL or half of a surrogate pair. Remove it.", field)
    return value


def messages(value: Any, field: str) -> tuple[Message, ...]:
    """Return a list of messages in one form; {"role", "content"} and {"from", "value"} are understood alike.

    Raises:
        Refused: it is not such a list, or one of them is not what it should be.
    """
    if value is None:
        raise Refused("MISSING_FIELD", f"{field} is missing. Write it, or map another column to it.", field)
    if not isinstance(value, list):
        raise Refused("WRONG_TYPE", f"{field} is not a list of messages. Write role and content of each.", field)
    if not 0 < len(value) <= MOST_MESSAGES:
        raise Refused("WRONG_LENGTH", f"{field} has {len(value):,} messages. Use 1 to {MOST_MESSAGES:,}.", field)
    found: list[Message] = []
    for index, item in enumerate(value):
        found.append(_message(item, f"{field}[{index}]", found))
    return tuple(found)


def conversation(found: Sequence[Message], field: str) -> tuple[Message, ...]:
    """Return a conversation that a model can learn from.

    Raises:
        Refused: SYSTEM_NOT_FIRST, NO_QUESTION or NO_ANSWER.
    """
    if any(m["role"] == "system" for m in found[1:]):
        raise Refused("SYSTEM_NOT_FIRST", f"{field} has a system message after the first. Move it there.", field)
    if not any(m["role"] == "user" for m in found[:-1]):
        raise Refused("NO_QUESTION", f"{field} has no user's message before its end. Add what is asked.", field)
    last = found[-1]
    if last["role"] != "assistant" or not (last["content"].strip() or last.get("tool_calls")):
        raise Refused("NO_ANSWER", f"{field} does not end with an assistant's answer. Add it, or cut the end.", field)
    return tuple(found)


def tools(value: Any) -> tuple[dict[str, Any], ...]:
    """Return tools: a list of objects, or the same as JSON in a text; empty for none.

    Raises:
        Refused: BAD_TOOLS or BAD_CHARACTER.
    """
    if isinstance(value, str):
        value = _json(value, "tools", "BAD_TOOLS") if value.strip() else []
    if value is None:
        return ()
    good = isinstance(value, list) and all(isinstance(tool, dict) and tool for tool in value)
    if not good:
        raise Refused("BAD_TOOLS", "tools is not a list of objects. Write them as OpenAI does, or as JSON.", "tools")
    sound(json.dumps(value, ensure_ascii=False), "tools")
    return tuple(value)


def _message(item: Any, field: str, before: Sequence[Message]) -> Message:
    if not isinstance(item, dict):
        raise Refused("WRONG_TYPE", f"{field} is not an object. Write its role and content.", field)
    named = item.get("role", item.get("from"))
    if named == "function_call":
        return {"role": "assistant", "content": "", "tool_calls": _called(item.get("value"), field, before)}
    role = _ROLES.get(named.lower()) if isinstance(named, str) else None
    if role is None:
        raise Refused("UNKNOWN_ROLE", f"{field} has none of the roles system, user, assistant, tool. Name one.", field)
    calls = _tool_calls(item.get("tool_calls"), field) if role == "assistant" else []
    content = _content(item.get("content", item.get("value")), field, empty=bool(calls) or role == "tool")
    message: Message = {"role": role, "content": content}
    if calls:
        message["tool_calls"] = calls
    for key in ("tool_call_id", "name"):
        if item.get(key):
            message[key] = text(item[key], f"{field}.{key}")
    return message


def _content(value: Any, field: str, *, empty: bool) -> str:
    if isinstance(value, list):
        parts = [p for p in value if isinstance(p, dict) and p.get("type") == "text" and isinstance(p.get("text"), str)]
        if len(parts) != len(value):
            raise Refused("NOT_TEXT", f"{field} has parts that are not text, such as images. Remove the row.", field)
        value = "".join(p["text"] for p in parts)
    return text(value, f"{field}.content", empty=empty)


def _tool_calls(value: Any, field: str) -> list[dict[str, Any]]:
    if not value:
        return []
    if not isinstance(value, list):
        raise Refused("BAD_TOOL_CALL", f"{field}.tool_calls is not a list. Write it as OpenAI does.", field)
    return [_tool_call(call, f"{field}.tool_calls[{index}]") for index, call in enumerate(value)]


def _tool_call(call: Any, field: str) -> dict[str, Any]:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str) or not function["name"]:
        raise Refused("BAD_TOOL_CALL", f"{field} names no function. Write it as OpenAI does.", field)
    arguments = function.get("arguments")
    if not isinstance(arguments, str):
        arguments = json.dumps(arguments if arguments is not None else {}, ensure_ascii=False)
    if not isinstance(_json(arguments or "{}", field, "BAD_TOOL_CALL"), dict):
        raise Refused("BAD_TOOL_CALL", f"{field} has arguments that are no object. Write a JSON object.", field)
    found: dict[str, Any] = {"type": "function"}
    if call.get("id"):
        found["id"] = text(call["id"], f"{field}.id")
    found["function"] = {"name": sound(function["name"], field), "arguments": sound(arguments or "{}", field)}
    return found


def _called(value: Any, field: str, before: Sequence[Message]) -> list[dict[str, Any]]:
    """Return the calls of ShareGPT's function_call: JSON with name and arguments, or a list of such."""
    calls = _json(value, field, "BAD_TOOL_CALL") if isinstance(value, str) else value
    calls = calls if isinstance(calls, list) else [calls]
    if not calls or not all(isinstance(call, dict) for call in calls):
        raise Refused("BAD_TOOL_CALL", f"{field} calls nothing. Write name and arguments as JSON.", field)
    made = sum(len(m.get("tool_calls", ())) for m in before)
    return [
        _tool_call({"id": f"call_{made + n}", "function": call}, f"{field}[{n - 1}]") for n, call in enumerate(calls, 1)
    ]


def _json(value: str, field: str, reason: str) -> Any:
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        raise Refused(reason, f"{field} is not JSON. Correct it.", field) from None
