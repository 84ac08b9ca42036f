"""Alpaca: instruction, input, output; system and history as LLaMA-Factory adds them."""

from __future__ import annotations

from typing import Any

from services.dataset.core.formats import turns
from services.dataset.core.formats.chat import wanted
from services.dataset.core.formats.record import Message, Record, Refused, Row


def read(row: Row) -> Record:
    """Return the record of {"instruction", "input", "output", "system", "history": [[question, answer], …]}.

    Raises:
        Refused: instruction or output is missing or empty, or a part is not of its form.
    """
    system = turns.text(row.get("system"), "system", empty=True)
    found: list[Message] = [{"role": "system", "content": system}] if system else []
    for index, pair in enumerate(_pairs(row.get("history"))):
        question, answer = (turns.text(value, f"history[{index}]") for value in pair)
        found += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    question = turns.text(row.get("instruction"), "instruction")
    more = turns.text(row.get("input"), "input", empty=True)
    found.append({"role": "user", "content": f"{question}\n\n{more}" if more.strip() else question})
    found.append({"role": "assistant", "content": turns.text(row.get("output"), "output")})
    return Record(turns.conversation(found, "row"))


def write(record: Record) -> Row:
    """Return the row; system and history only where there are any.

    Raises:
        Refused: HAS_TOOLS, NOT_IN_TURNS or UNWANTED_ANSWER.
    """
    wanted(record)
    if record.has_tools:
        raise Refused("HAS_TOOLS", "Alpaca has no place for tools.")
    system = record.messages[0]["content"] if record.messages[0]["role"] == "system" else ""
    spoken = record.messages[1:] if system else record.messages
    if [m["role"] for m in spoken] != ["user", "assistant"] * (len(spoken) // 2):
        raise Refused("NOT_IN_TURNS", "User and assistant do not speak in turns, as Alpaca has it.")
    said = [m["content"] for m in spoken]
    row: Row = {"instruction": said[-2], "input": "", "output": said[-1]}
    if system:
        row["system"] = system
    if len(said) > 2:
        row["history"] = [[said[n], said[n + 1]] for n in range(0, len(said) - 2, 2)]
    return row


def _pairs(value: Any) -> list[list[Any]]:
    if value is None or value == "":
        return []
    good = isinstance(value, list) and all(isinstance(pair, list) and len(pair) == 2 for pair in value)
    if not good or len(value) > turns.MOST_MESSAGES:
        raise Refused("WRONG_TYPE", "history is not a list of [question, answer]. Write it so.", "history")
    return list(value)
