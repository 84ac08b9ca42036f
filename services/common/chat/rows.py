"""The dataset's lines: examples with their messages and their side of the split."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.common.chat.tokens import Message
from services.common.errors import InvalidArgument

TRAIN, EVAL, RECALL = "TRAIN", "EVAL", "RECALL"
"""Trained on; of documents held out; kept back of documents trained on."""


@dataclass(frozen=True)
class Row:
    """One example.

    Args:
        id: the example's name.
        split: TRAIN, EVAL or RECALL.
        messages: role and content each; an assistant's may call tools, a tool's answers a call; the last is the
            assistant's.
        tools: what the assistant may call, as chat templates take them.
        task: its task type, such as "classification"; "" if it has none.
    """

    id: str
    split: str
    messages: tuple[Message, ...]
    tools: tuple[dict[str, Any], ...] = ()
    task: str = ""

    @property
    def prompt(self) -> tuple[Message, ...]:
        """Everything before the last answer."""
        return self.messages[:-1]

    @property
    def reference(self) -> str:
        """The last answer."""
        return str(self.messages[-1]["content"])


def read_rows(path: Path) -> list[Row]:
    """Read a dataset file, in its order.

    Raises:
        InvalidArgument: a line is not an example; the message names the line and never quotes it.
    """
    with path.open(encoding="utf-8") as lines:
        return [_row(number, line) for number, line in enumerate(lines, start=1) if line.strip()]


def of_split(rows: Iterable[Row], split: str) -> list[Row]:
    """Return the rows of one side, in order."""
    return [row for row in rows if row.split == split]


def _row(number: int, line: str) -> Row:
    try:
        fields: dict[str, Any] = json.loads(line)
        split = str(fields["split"]).removeprefix("SPLIT_")
        messages = tuple(_message(m) for m in fields["messages"])
        tools = tuple(dict(tool) for tool in fields.get("tools", ()))
    except (ValueError, KeyError, TypeError) as error:
        raise _bad(number, "it lacks id, split or messages with role and content") from error
    if split not in (TRAIN, EVAL, RECALL):
        raise _bad(number, "its split is none of TRAIN, EVAL, RECALL")
    if len(messages) < 2 or messages[-1]["role"] != "assistant":
        raise _bad(number, "its last message is not an answer of the assistant's")
    if "rejected" in fields or "label" in fields:
        raise _bad(number, "it is a preference or a verdict, which this trainer does not learn from")
    return Row(str(fields.get("id", number)), split, messages, tools, str(fields.get("task_type", "")))


def _message(fields: dict[str, Any]) -> Message:
    message: Message = {"role": str(fields["role"]), "content": str(fields["content"])}
    if fields.get("tool_calls"):
        message["tool_calls"] = [_call(call) for call in fields["tool_calls"]]
    for name in ("tool_call_id", "name"):
        if fields.get(name):
            message[name] = str(fields[name])
    return message


def _call(call: dict[str, Any]) -> dict[str, Any]:
    """Return a call as chat templates take it: its arguments are an object, not a text."""
    function = call["function"]
    arguments = function["arguments"]
    arguments = json.loads(arguments) if isinstance(arguments, str) else arguments
    return {**call, "function": {"name": str(function["name"]), "arguments": arguments}}


def _bad(number: int, why: str) -> InvalidArgument:
    return InvalidArgument(f"Line {number} of the dataset is no example: {why}. Freeze the dataset again.")
