"""Rows that somebody brings, as examples: columns mapped, values checked, doubles told."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from services.common.errors import InvalidArgument
from services.dataset.core.formats import frozenrow
from services.dataset.core.formats.catalog import FORMATS, Format, detect
from services.dataset.core.formats.columns import (
    OTHER_WORDS,
    check_meant,
    check_there,
    meant,
    of_the_file,
    renamed,
    shown,
)
from services.dataset.core.formats.decoding import Numbered, listed, nested
from services.dataset.core.formats.kinds import FORMS
from services.dataset.core.formats.record import Record, Refused, Row

MAX_ROWS = 1_000_000
"""So many rows of 200 bytes, as large as a file may be, are divided into sides within the reader's memory."""
MAX_STORED_BYTES = 900_000
LOOKED_AT = 100
DUPLICATE = "DUPLICATE"
TARGETS = tuple(sorted({c for f in FORMATS.values() for c in f.columns} | {"response", "question", "answer"}))
"""Names that a column may be mapped to: those of the formats, and prompt and response in words of one's own."""

_ENCODER = json.JSONEncoder(sort_keys=True, ensure_ascii=False)
_SIDES = {
    "train": "TRAIN", "training": "TRAIN", "eval": "EVAL", "evaluation": "EVAL", "test": "EVAL", "dev": "EVAL",
    "valid": "EVAL", "validation": "EVAL", "val": "EVAL", "recall": "RECALL",
}  # fmt: skip


@dataclass(frozen=True)
class Terms:
    """How rows are to be understood.

    Args:
        format: a name of FORMATS, or "" to tell it by the columns.
        mapping: a format's column → the file's.
        split_column: the file's column that says train or test, or "".
        in_cells: whether what is nested may be JSON in a text, as in CSV and Parquet.
    """

    format: str = ""
    mapping: Mapping[str, str] = field(default_factory=dict)
    split_column: str = ""
    in_cells: bool = False


@dataclass(frozen=True)
class Problem:
    """Why a row was left out.

    Args:
        row: its number in the file, from 1.
        column: the one at fault, or "".
        message: what is wrong, then the remedy; never the row's own text.
    """

    row: int
    column: str
    reason: str
    message: str


class Incoming:
    """Reads rows. What was seen is in `format`, `rows`, `good`, `dropped` and `ignored` afterwards."""

    def __init__(self, terms: Terms, most_rows: int = MAX_ROWS) -> None:
        self._terms = terms
        self._most = most_rows
        self._seen: dict[bytes, int] = {}
        # Columns that were looked at: used, or ignored.
        self._used: set[str] = set()
        self.format = terms.format
        self.rows = 0
        self.good = 0
        self.dropped: Counter[str] = Counter()
        self.ignored: set[str] = set()

    def read(self, rows: Iterator[Numbered]) -> Iterator[tuple[int, Record] | Problem]:
        """Yield each row as a record, or as the problem that it has.

        Raises:
            InvalidArgument: IMPORT_FORMAT_UNKNOWN if the columns tell no format, IMPORT_COLUMN_UNKNOWN if a name is not
                one of theirs, or IMPORT_REFUSED for too many rows.
        """
        first: list[Numbered] = []
        for numbered in rows:
            first.append(numbered)
            if len(first) == LOOKED_AT:
                break
        whole = [row for _, row in first if not isinstance(row, Refused)]
        if not self.format:
            self.format = self._detected(whole)
        if whole:
            check_meant(self._terms.mapping, self.format)
            check_there(self._wanted(whole), {name for row in whole for name in row})
        for source in (first, rows):
            for number, row in source:
                yield self._one(number, row)
        self._seen.clear()

    def _wanted(self, rows: list[Row]) -> Iterator[str]:
        """Yield the names of columns that must be there: in JSON, one that a format can do without may come later."""
        terms, alike = self._terms, len({frozenset(row) for row in rows}) == 1
        for target, source in terms.mapping.items():
            if (terms.in_cells and alike) or meant(target, self.format) in FORMATS[self.format].needs:
                yield source
        if terms.split_column:
            yield terms.split_column

    def _one(self, number: int, row: Row | Refused) -> tuple[int, Record] | Problem:
        self.rows += 1
        if self.rows > self._most:
            raise InvalidArgument(
                f"The file has more than {self._most:,} rows. Split it into several datasets.", reason="IMPORT_REFUSED"
            )
        try:
            record = self._record(row)
            self._single(number, record)
        except Refused as error:
            self.dropped[error.reason] += 1
            column, message = of_the_file(error, self._terms.mapping, self.format)
            return Problem(number, column, error.reason, message)
        self.good += 1
        return number, record

    def _record(self, row: Row | Refused) -> Record:
        if isinstance(row, Refused):
            raise row
        known = FORMATS[self.format]
        named = renamed(row, self._terms.mapping, self.format)
        if self._terms.in_cells:
            named = {name: _uncelled(name, value) for name, value in named.items()}
        record = known.read(named)
        side = _side(row, self._terms.split_column)
        self._note_ignored(row, known)
        return replace(record, split=side)

    def _single(self, number: int, record: Record) -> None:
        stored = _ENCODER.encode(frozenrow.fields(record)).encode()
        texts = len(record.messages[-1]["content"]) + len(stored)
        if len(stored) > MAX_STORED_BYTES or texts > MAX_STORED_BYTES:
            raise Refused("ROW_TOO_LARGE", f"The example has more than {MAX_STORED_BYTES:,} bytes. Shorten it.")
        digest = hashlib.sha256(stored).digest()[:16]
        earlier = self._seen.setdefault(digest, number)
        if earlier != number:
            raise Refused(DUPLICATE, f"The row says the same as row {earlier:,}. Nothing needs to be done.")

    def _note_ignored(self, row: Row, known: Format) -> None:
        if len(self.ignored) < LOOKED_AT and not row.keys() <= self._used:
            self._used |= {*known.columns, *self._terms.mapping.values(), self._terms.split_column, *OTHER_WORDS}
            new = row.keys() - self._used
            self.ignored.update(map(shown, new))
            self._used |= new

    def _detected(self, rows: list[Row]) -> str:
        columns = {name for row in rows for name in renamed(row, self._terms.mapping, "")}
        found = detect(columns)
        if not found:
            check_there(self._terms.mapping.values() if rows else (), {name for row in rows for name in row})
            there = ", ".join(sorted(shown(name) for row in rows[:1] for name in row)[:20])
            raise InvalidArgument(
                f"The columns ({there}) are those of no format. Name the format, or map columns, such as "
                "`--map prompt=question,response=answer`."
                if there
                else f"No row of the file can be read as columns. Imported are files of examples: {FORMS}; a document "
                "to learn from is sent with `ftf upload`.",
                reason="IMPORT_FORMAT_UNKNOWN",
                field="header.format",
            )
        return found


def _uncelled(name: str, value: Any) -> Any:
    if name in ("messages", "conversations", "history"):
        return listed(value)
    return nested(value) if name in ("prompt", "completion", "chosen", "rejected") else value


def _side(row: Row, column: str) -> str:
    if not column:
        return ""
    side = _SIDES.get(str(row.get(column, "")).strip().lower().removeprefix("split_"))
    if side is None:
        raise Refused(
            "BAD_SPLIT", "The split is none of train, eval, test, validation, recall. Write one.", column[:100]
        )
    return side


def fields(number: int, record: Record) -> dict[str, Any]:
    """Return what an example's document says of a record: the whole conversation only where two texts do not say it."""
    questions = [m["content"] for m in record.messages if m["role"] == "user"]
    plain = [set(m) for m in record.messages] == [{"role", "content"}] * 2 and len(record.messages) == 2
    found: dict[str, Any] = {"row": number, "prompt": questions[0], "response": record.messages[-1]["content"]}
    if not plain:
        found["messages"] = list(record.messages)
    if record.tools:
        found["tools"] = json.dumps(list(record.tools), ensure_ascii=False)
    if record.answer != 1:
        found["answer"] = record.answer
    if record.rejected:
        found["rejected"] = list(record.rejected)
    if record.label is not None:
        found["label"] = record.label
    if record.raw:
        found["raw"] = True
    if record.split:
        found["given_split"] = "SPLIT_" + record.split
    return found
