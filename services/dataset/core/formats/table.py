"""Rows with the same columns throughout, and their text as JSON Lines or CSV."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from services.dataset.core.formats.catalog import FORMATS
from services.dataset.core.formats.record import Record, Refused, Row

TEXT, MESSAGES, TURNS, PAIRS, JSON, FLAG = "text", "messages", "turns", "pairs", "json", "flag"
NUMBER, SCORE = "number", "score"
"""What a column holds: {"role", "content"}s, {"from", "value"}s, [question, answer]s, anything, true or false, …"""

PROVENANCE = (
    "id", "split", "source_file_name", "source_page", "source_headings", "source_evidence", "source_file",
    "source_chunk", "source_llm", "source_prompt_version", "source_judge", "source_sha256", "source_row",
)  # fmt: skip
SHAPES = {
    "messages": MESSAGES, "prompt": MESSAGES, "completion": MESSAGES, "chosen": MESSAGES, "rejected": MESSAGES,
    "conversations": TURNS, "history": PAIRS, "tools": JSON, "label": FLAG, "source_page": NUMBER, "source_row": NUMBER,
    "source_judge": SCORE,
}  # fmt: skip
_EMPTY: dict[str, Any] = {TEXT: "", PAIRS: [], JSON: None}


@dataclass
class Table:
    """What a file is going to hold.

    Args:
        format: its format's name.
        with_source: whether provenance stands beside each row.
        split: TRAIN, EVAL or RECALL to write only those; "" for all.
        columns: those that any row has, in order.
        message_keys: what any message has, beside role and content.
        rows: how many there are.
        dropped: rows that came in and are left out, by reason.
    """

    format: str
    with_source: bool = False
    split: str = ""
    columns: tuple[str, ...] = ()
    message_keys: frozenset[str] = frozenset()
    came: int = 0
    rows: int = 0
    dropped: Counter[str] = field(default_factory=Counter)

    def measure(self, records: Iterable[Record | Refused]) -> None:
        """Look at all records once, to know the columns and what is left out."""
        found: set[str] = set()
        keys: set[str] = set()
        for record in records:
            self.came += 1
            try:
                row = self.row(record)
            except Refused as error:
                self.dropped[error.reason] += 1
                continue
            self.rows += 1
            found.update(row)
            if isinstance(record, Record):
                keys.update(key for m in (*record.messages, *record.rejected) for key in m)
        order = (*FORMATS[self.format].columns, *PROVENANCE)
        self.columns = tuple(name for name in order if name in found)
        self.message_keys = frozenset(keys - {"role", "content"})

    def row(self, record: Record | Refused) -> Row:
        """Return one record's row. Raises Refused if it is left out."""
        if isinstance(record, Refused):
            raise record
        if self.split and record.split != self.split:
            raise Refused("OTHER_SPLIT", f"The example is not of {self.split}.")
        row = FORMATS[self.format].write(record)
        if self.with_source:
            row.update({"id": record.id, "split": record.split, **record.source})
        return row

    def full(self, records: Iterable[Record | Refused]) -> Iterator[Row]:
        """Yield the rows, each with every column."""
        for record in records:
            try:
                row = self.row(record)
            except Refused:
                continue
            yield {name: row.get(name, _EMPTY.get(shape(name))) for name in self.columns}


def shape(column: str) -> str:
    """Return what a column holds."""
    return SHAPES.get(column, TEXT)


def json_lines(rows: Iterable[Row]) -> Iterator[bytes]:
    """Yield each row as a line of JSON."""
    for row in rows:
        yield (json.dumps(row, ensure_ascii=False) + "\n").encode()


def comma_separated(columns: Sequence[str], rows: Iterable[Row]) -> Iterator[bytes]:
    """Yield a header and each row as RFC 4180 has it, lines ended by LF; what is nested is JSON in its cell."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writerow(columns)
    for row in rows:
        yield _taken(buffer)
        writer.writerow([_cell(row[name], shape(name)) for name in columns])
    yield _taken(buffer)


def _taken(buffer: io.StringIO) -> bytes:
    written = buffer.getvalue().encode()
    buffer.seek(0)
    buffer.truncate()
    return written


def _cell(value: Any, shape: str) -> str:
    if value is None:
        return ""
    if shape in (MESSAGES, TURNS, PAIRS, JSON):
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if shape == FLAG:
        return "true" if value else "false"
    return str(value)
