"""The file's own columns: which a format's stand for, and what is said of one that is not there."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping

from services.common.errors import InvalidArgument
from services.dataset.core.formats.catalog import FORMATS
from services.dataset.core.formats.record import Refused, Row

OTHER_WORDS = {"question": "prompt", "answer": "completion", "response": "completion"}
ALPACA_WORDS = {"prompt": "instruction", "completion": "output"}
_BASE = re.compile(r"\w+")
_SHOWN = 20


def renamed(row: Row, mapping: Mapping[str, str], format: str) -> Row:
    """Return a row with the format's names for its columns."""
    mapped = {target: row.get(source) for target, source in mapping.items() if source in row}
    named = {**{name: value for name, value in row.items() if name not in mapping.values()}, **mapped}
    for word, name in OTHER_WORDS.items():
        # Words of one's own count where they were mapped to, and "response" where a prompt stands beside it.
        if word in named and name not in named and (word in mapped or (word == "response" and "prompt" in named)):
            named[name] = named.pop(word)
    if format == "alpaca":
        for word, name in ALPACA_WORDS.items():
            if word in named and name not in named:
                named[name] = named.pop(word)
    return named


def of_the_file(refused: Refused, mapping: Mapping[str, str], format: str) -> tuple[str, str]:
    """Return the column at fault and the message, in the file's own names where columns were mapped."""
    found = _BASE.match(refused.field)
    own = {meant(target, format): source for target, source in mapping.items()}.get(found[0] if found else "")
    if found is None or own is None:
        return refused.field, refused.message
    field = shown(own) + refused.field[found.end() :]
    message = refused.message
    return field, field + message[len(refused.field) :] if message.startswith(refused.field) else message


def check_there(wanted: Iterable[str], columns: Collection[str]) -> None:
    """Refuse names that are none of the file's columns.

    Args:
        columns: those that the first rows have.

    Raises:
        InvalidArgument: IMPORT_COLUMN_UNKNOWN.
    """
    missing = next((name for name in wanted if name not in columns), "")
    if missing:
        there = ", ".join(sorted(map(shown, columns))[:_SHOWN]) or "none"
        raise InvalidArgument(
            f'The file has no column "{shown(missing)}", only {there}. Name one of them.',
            reason="IMPORT_COLUMN_UNKNOWN",
            field="header.mapping",
        )


def check_meant(mapping: Mapping[str, str], format: str) -> None:
    """Refuse to map what a format does not have.

    Raises:
        InvalidArgument: IMPORT_COLUMN_UNKNOWN.
    """
    known = FORMATS[format].columns
    foreign = next((target for target in mapping if meant(target, format) not in known), "")
    if foreign:
        raise InvalidArgument(
            f"{foreign} is mapped, which {format} does not have. Map {', '.join(known)}, or name another format.",
            reason="IMPORT_COLUMN_UNKNOWN",
            field="header.mapping",
        )


def shown(name: str) -> str:
    """Return a stranger's name of a column, fit to be told."""
    return name[:60].encode("utf-8", "replace").decode()


def meant(target: str, format: str) -> str:
    """Return the format's column that a mapping's target means."""
    name = OTHER_WORDS.get(target, target)
    return ALPACA_WORDS.get(name, name) if format == "alpaca" else name
