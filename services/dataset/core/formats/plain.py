"""Raw text, for continued pretraining: no prompt, no answer."""

from __future__ import annotations

from services.dataset.core.formats import turns
from services.dataset.core.formats.record import Record, Refused, Row


def read(row: Row) -> Record:
    """Return the record of {"text"}. Raises Refused."""
    return Record(turns.raw(turns.text(row.get("text"), "text")), raw=True)


def write(record: Record) -> Row:
    """Return {"text"}. Raises Refused."""
    if not record.raw:
        raise Refused("NOT_RAW_TEXT", "The example is a conversation.")
    return {"text": str(record.messages[-1]["content"])}
