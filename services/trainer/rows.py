"""The dataset's lines: examples with their messages and their side of the split."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.common.errors import InvalidArgument

TRAIN, EVAL, RECALL = "TRAIN", "EVAL", "RECALL"
"""Trained on; of documents held out; kept back of documents trained on."""

Message = dict[str, str]


@dataclass(frozen=True)
class Row:
    """One example.

    Args:
        id: the example's name.
        split: TRAIN, EVAL or RECALL.
        messages: role and content each; the last is the assistant's.
    """

    id: str
    split: str
    messages: tuple[Message, ...]

    @property
    def prompt(self) -> tuple[Message, ...]:
        """Everything before the last answer."""
        return self.messages[:-1]

    @property
    def reference(self) -> str:
        """The last answer."""
        return self.messages[-1]["content"]


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
        messages = tuple({"role": str(m["role"]), "content": str(m["content"])} for m in fields["messages"])
    except (ValueError, KeyError, TypeError) as error:
        raise _bad(number, "it lacks id, split or messages with role and content") from error
    if split not in (TRAIN, EVAL, RECALL):
        raise _bad(number, "its split is none of TRAIN, EVAL, RECALL")
    if len(messages) < 2 or messages[-1]["role"] != "assistant":
        raise _bad(number, "its last message is not an answer of the assistant's")
    return Row(str(fields.get("id", number)), split, messages)


def _bad(number: int, why: str) -> InvalidArgument:
    return InvalidArgument(f"Line {number} of the dataset is no example: {why}. Freeze the dataset again.")
