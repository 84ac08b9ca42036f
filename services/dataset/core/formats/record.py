"""One example as all formats see it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Message = dict[str, Any]
Row = dict[str, Any]

SFT, PREFERENCE, KTO, RAW = "SFT", "PREFERENCE", "KTO", "TEXT"
"""Kinds of example: one answer to learn; a better and a worse one; one with a verdict; raw text."""


class Refused(Exception):
    """A row that a format cannot read or carry.

    Args:
        reason: in capitals, for counting.
        message: what is wrong, then the remedy; never the row's own text.
        field: the column at fault, or "".
    """

    def __init__(self, reason: str, message: str, field: str = "") -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.field = field


@dataclass(frozen=True)
class Record:
    """One example.

    Args:
        messages: the whole conversation, whose end is the answer. Each has role ("system", "user", "assistant" or
            "tool") and content; an assistant's may have tool_calls as OpenAI writes them, a tool's tool_call_id, name.
        tools: what the assistant may call, as OpenAI writes them.
        answer: how many messages at the end are the answer.
        rejected: the worse answer, of a preference; else empty.
        label: whether the answer is wanted, of KTO; else None.
        split: TRAIN, EVAL or RECALL, or "" where nothing is said.
        id: name of the example, or "".
        source: where it comes from, flat.
        raw: whether it is raw text: what the last message says, and nothing else.
    """

    messages: tuple[Message, ...]
    tools: tuple[dict[str, Any], ...] = ()
    answer: int = 1
    rejected: tuple[Message, ...] = ()
    label: bool | None = None
    split: str = ""
    id: str = ""
    source: Mapping[str, Any] = field(default_factory=dict)
    raw: bool = False

    @property
    def kind(self) -> str:
        """SFT, PREFERENCE, KTO or TEXT."""
        if self.raw:
            return RAW
        if self.rejected:
            return PREFERENCE
        return SFT if self.label is None else KTO

    @property
    def before(self) -> tuple[Message, ...]:
        """What the answer answers."""
        return self.messages[: len(self.messages) - self.answer]

    @property
    def answers(self) -> tuple[Message, ...]:
        """The answer's messages."""
        return self.messages[len(self.messages) - self.answer :]

    @property
    def has_tools(self) -> bool:
        """Whether tools are offered, called or answer."""
        return bool(self.tools) or any(
            m["role"] == "tool" or m.get("tool_calls") for m in (*self.messages, *self.rejected)
        )
