"""Every format by its name, and how one is told by its columns."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from services.dataset.core.formats import alpaca, chat, plain, preference, sharegpt
from services.dataset.core.formats.record import KTO, PREFERENCE, RAW, SFT, Record, Row


@dataclass(frozen=True)
class Format:
    """A format.

    Args:
        read: makes a record of a row, or raises Refused.
        write: makes a row of a record, or raises Refused.
        columns: all that it knows, in the order in which they are written.
        needs: the columns without which a row is not of this format; any that it is told by.
        kind: the kind of example that it carries.
    """

    read: Callable[[Row], Record]
    write: Callable[[Record], Row]
    columns: tuple[str, ...]
    needs: frozenset[str]
    kind: str = SFT


FORMATS: dict[str, Format] = {
    "alpaca": Format(
        alpaca.read, alpaca.write, ("instruction", "input", "output", "system", "history"),
        frozenset({"instruction", "output"}),
    ),
    "sharegpt": Format(
        sharegpt.read, sharegpt.write, ("conversations", "system", "tools"), frozenset({"conversations"})
    ),
    "messages": Format(chat.read_messages, chat.write_messages, ("messages", "tools"), frozenset({"messages"})),
    "prompt-completion": Format(
        chat.read_completion, chat.write_completion, ("prompt", "completion", "system", "tools"),
        frozenset({"prompt", "completion"}),
    ),
    "preference": Format(
        preference.read, preference.write, ("prompt", "chosen", "rejected", "system", "tools"),
        frozenset({"chosen", "rejected"}), PREFERENCE,
    ),
    "kto": Format(
        chat.read_kto, chat.write_kto, ("prompt", "completion", "label", "system", "tools"),
        frozenset({"prompt", "completion", "label"}), KTO,
    ),
    "text": Format(plain.read, plain.write, ("text",), frozenset({"text"}), RAW),
}  # fmt: skip

# The more a format asks for, the earlier it is tried.
_TRIED = ("preference", "kto", "messages", "sharegpt", "alpaca", "prompt-completion")


def detect(columns: Collection[str]) -> str:
    """Return the name of the format that has such columns, or "".

    Raw text is told where there is no other column but provenance: beside one, a text may be anything.
    """
    found = set(columns)
    if {name for name in found if name not in ("id", "split") and not name.startswith("source_")} == {"text"}:
        return "text"
    return next((name for name in _TRIED if FORMATS[name].needs <= found), "")
