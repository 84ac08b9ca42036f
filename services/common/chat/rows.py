"""The dataset's lines: examples with their messages and their side of the split."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.common.chat.tokens import Message
from services.common.errors import InvalidArgument, NotReady

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
        answer: of a preference or verdict, how many messages at the end are the answer.
        rejected: of a preference, the worse answer instead; else empty.
        label: of a verdict, whether the answer is wanted; else None.
        raw: whether it is raw text, which the last message has.
    """

    id: str
    split: str
    messages: tuple[Message, ...]
    tools: tuple[dict[str, Any], ...] = ()
    task: str = ""
    answer: int = 1
    rejected: tuple[Message, ...] = ()
    label: bool | None = None
    raw: bool = False

    @property
    def objective(self) -> str:
        """What can be made of it: SFT, PRETRAIN, DPO or KTO."""
        if self.raw:
            return "PRETRAIN"
        if self.rejected:
            return "DPO"
        return "SFT" if self.label is None else "KTO"

    @property
    def asked(self) -> tuple[Message, ...]:
        """Everything before the answer."""
        return self.messages[: len(self.messages) - self.answer]

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
        return [row_of(number, line) for number, line in enumerate(lines, start=1) if line.strip()]


def require_objective(rows: Iterable[Row], objective: str) -> None:
    """Refuse rows that an objective does not learn from.

    Raises:
        NotReady: with reason DATASET_KIND_NOT_TRAINABLE.
    """
    other = next((row.objective for row in rows if row.objective != objective), "")
    if other:
        raise NotReady(
            f"The dataset has examples for {other}, and the objective is {objective}. Leave the objective open, or use "
            "another dataset.",
            reason="DATASET_KIND_NOT_TRAINABLE",
            metadata={"objective": objective},
        )


def of_split(rows: Iterable[Row], split: str) -> list[Row]:
    """Return the rows of one side, in order."""
    return [row for row in rows if row.split == split]


def row_of(number: int, line: str) -> Row:
    """Return the example of a line.

    Args:
        number: of the line, from 1 on.

    Raises:
        InvalidArgument: it is none; the message names the line and never quotes it.
    """
    try:
        fields: dict[str, Any] = json.loads(line)
        split = str(fields["split"]).removeprefix("SPLIT_")
        messages = tuple(_message(m) for m in fields["messages"])
        tools = tuple(dict(tool) for tool in fields.get("tools", ()))
        more = _judged(fields)
    except (ValueError, KeyError, TypeError) as error:
        raise _bad(number, "it lacks id, split or messages with role and content") from error
    if split not in (TRAIN, EVAL, RECALL):
        raise _bad(number, "its split is none of TRAIN, EVAL, RECALL")
    if len(messages) < 2 or messages[-1]["role"] != "assistant":
        raise _bad(number, "its last message is not an answer of the assistant's")
    if not 0 < more.get("answer", 1) < len(messages):
        raise _bad(number, "it has nothing before its answer")
    return Row(str(fields.get("id", number)), split, messages, tools, str(fields.get("task_type", "")), **more)


def _judged(fields: dict[str, Any]) -> dict[str, Any]:
    """Return what a preference, a verdict or raw text says beside its conversation."""
    if fields.get("rejected"):
        rejected = tuple(_message(m) for m in fields["rejected"])
        return {"answer": len(fields["chosen"]), "rejected": rejected}
    if fields.get("raw"):
        return {"raw": True}
    if "label" in fields:
        return {"answer": int(fields.get("answer", 1)), "label": bool(fields["label"])}
    return {}


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
