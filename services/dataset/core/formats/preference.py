"""Preferences: a prompt with a better and a worse answer, as TRL's DPO reads them."""

from __future__ import annotations

from typing import Any

from services.dataset.core.formats import turns
from services.dataset.core.formats.chat import answered, asked
from services.dataset.core.formats.record import Message, Record, Refused, Row


def read(row: Row) -> Record:
    """Return the record of {"prompt", "chosen", "rejected"}: texts, or lists of messages.

    Where chosen and rejected are whole conversations, what they share at the start is the prompt.

    Raises:
        Refused: a part is missing or wrong, or both answers are the same.
    """
    chosen, rejected = answered(row.get("chosen"), "chosen"), answered(row.get("rejected"), "rejected")
    if chosen == rejected:
        raise Refused("SAME_ANSWERS", "chosen and rejected are the same. Remove the row.", "rejected")
    if chosen[0]["role"] in ("assistant", "tool"):
        before = asked(row.get("prompt"), row.get("system"))
    else:
        shared = _shared(chosen, rejected)
        before, chosen, rejected = chosen[:shared], chosen[shared:], rejected[shared:]
    found = turns.conversation((*before, *chosen), "prompt and chosen")
    turns.conversation((*before, *rejected), "prompt and rejected")
    return Record(found, turns.tools(row.get("tools")), len(chosen), rejected)


def write(record: Record) -> Row:
    """Return {"prompt": […], "chosen": […], "rejected": […]}, lists of messages. Raises Refused."""
    if not record.rejected:
        raise Refused("NO_REJECTED_ANSWER", "The example has no worse answer beside its answer.")
    row: dict[str, Any] = {"prompt": record.before, "chosen": record.answers, "rejected": record.rejected}
    row = {name: list(value) for name, value in row.items()}
    return {**row, "tools": list(record.tools)} if record.tools else row


def _shared(chosen: tuple[Message, ...], rejected: tuple[Message, ...]) -> int:
    """Return how many messages both begin with; each keeps at least one."""
    most = min(len(chosen), len(rejected)) - 1
    return next((n for n in range(most) if chosen[n] != rejected[n]), most)
