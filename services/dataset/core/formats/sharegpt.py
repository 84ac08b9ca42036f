"""ShareGPT: conversations of {"from", "value"}; tools as LLaMA-Factory writes them."""

from __future__ import annotations

import json
from typing import Any

from services.dataset.core.formats import turns
from services.dataset.core.formats.chat import wanted
from services.dataset.core.formats.record import Message, Record, Refused, Row

_NAMES = {"system": "system", "user": "human", "assistant": "gpt", "tool": "observation"}


def read(row: Row) -> Record:
    """Return the record of {"conversations": [{"from", "value"}], "system", "tools"}. Raises Refused."""
    found = turns.messages(row.get("conversations"), "conversations")
    system = turns.text(row.get("system"), "system", empty=True)
    if system and found[0]["role"] != "system":
        found = ({"role": "system", "content": system}, *found)
    return Record(turns.conversation(found, "conversations"), turns.tools(row.get("tools")))


def write(record: Record) -> Row:
    """Return the row; tools is JSON in a text, as is usual there. Ids of tool calls are left out.

    Raises:
        Refused: UNWANTED_ANSWER, or TOOL_CALL_WITH_TEXT: one message cannot be both there.
    """
    wanted(record)
    row: Row = {"conversations": [_turn(m) for m in record.messages]}
    if record.tools:
        row["tools"] = json.dumps(list(record.tools), ensure_ascii=False)
    return row


def _turn(message: Message) -> dict[str, str]:
    if not message.get("tool_calls"):
        return {"from": _NAMES[message["role"]], "value": message["content"]}
    if message["content"].strip():
        raise Refused("TOOL_CALL_WITH_TEXT", "A message both says something and calls a tool; ShareGPT has one only.")
    calls: list[Any] = [
        {"name": c["function"]["name"], "arguments": json.loads(c["function"]["arguments"])}
        for c in message["tool_calls"]
    ]
    return {"from": "function_call", "value": json.dumps(calls[0] if len(calls) == 1 else calls, ensure_ascii=False)}
