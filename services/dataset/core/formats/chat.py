"""OpenAI's messages, with tools where there are any; and TRL's prompt and completion."""

from __future__ import annotations

from typing import Any

from services.dataset.core.formats import turns
from services.dataset.core.formats.record import KTO, Message, Record, Refused, Row


def read_messages(row: Row) -> Record:
    """Return the record of {"messages": […], "tools": […]}. Raises Refused."""
    found = turns.conversation(turns.messages(row.get("messages"), "messages"), "messages")
    return Record(found, turns.tools(row.get("tools")))


def write_messages(record: Record) -> Row:
    """Return {"messages": […]}, with tools if there are any. Raises Refused."""
    wanted(record)
    return _with_tools({"messages": list(record.messages)}, record)


def read_completion(row: Row) -> Record:
    """Return the record of {"prompt", "completion"}: texts, or lists of messages. Raises Refused."""
    before, answers = asked(row.get("prompt"), row.get("system")), answered(row.get("completion"), "completion")
    found = turns.conversation((*before, *answers), "prompt and completion")
    return Record(found, turns.tools(row.get("tools")), len(answers))


def write_completion(record: Record) -> Row:
    """Return {"prompt": […], "completion": […]}, lists of messages. Raises Refused."""
    wanted(record)
    return _with_tools({"prompt": list(record.before), "completion": list(record.answers)}, record)


def read_kto(row: Row) -> Record:
    """Return the record of {"prompt", "completion", "label"}. Raises Refused."""
    record = read_completion(row)
    return Record(record.messages, record.tools, record.answer, label=_label(row.get("label")))


def write_kto(record: Record) -> Row:
    """Return {"prompt": […], "completion": […], "label": true or false}. Raises Refused."""
    if record.label is None:
        raise Refused("NOT_LABELLED", "Nobody has said whether the answer is wanted.")
    row = {"prompt": list(record.before), "completion": list(record.answers), "label": record.label}
    return _with_tools(row, record)


def asked(value: Any, system: Any = None) -> tuple[Message, ...]:
    """Return a prompt's messages, be it a text or a list. Raises Refused."""
    if isinstance(value, list):
        return turns.messages(value, "prompt")
    first = ({"role": "system", "content": turns.text(system, "system")},) if system else ()
    return (*first, {"role": "user", "content": turns.text(value, "prompt")})


def answered(value: Any, field: str) -> tuple[Message, ...]:
    """Return an answer's messages, be it a text or a list. Raises Refused."""
    if isinstance(value, list):
        return turns.messages(value, field)
    return ({"role": "assistant", "content": turns.text(value, field)},)


def wanted(record: Record) -> None:
    """Refuse an answer that nobody should learn, and raw text. Raises Refused."""
    if record.raw:
        raise Refused("RAW_TEXT", "The example is raw text, without a question.")
    if record.kind == KTO and not record.label:
        raise Refused("UNWANTED_ANSWER", "The answer is labelled as unwanted; only KTO can say so.")


def _with_tools(row: Row, record: Record) -> Row:
    return {**row, "tools": list(record.tools)} if record.tools else row


def _label(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    known = {"true": True, "1": True, "false": False, "0": False}
    found = known.get(str(value).strip().lower()) if isinstance(value, str | int) else None
    if found is None:
        raise Refused("BAD_LABEL", "label is neither true nor false. Write one of them.", "label")
    return found
