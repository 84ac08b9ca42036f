"""Files of data: CSV, TSV, JSON, JSONL."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from services.common.errors import FineTuneFlowError
from services.ingest.core.document import Where
from services.ingest.core.extraction import Extraction, corrupt, no_text
from services.ingest.core.filenames import JSON, TSV
from services.ingest.core.gridtable import MAX_COLUMNS, Row, trimmed, write_table
from services.ingest.core.records import write_record, write_value
from services.ingest.core.writer import DocumentWriter, check_length
from services.ingest.sandbox.job import Progress
from services.ingest.sandbox.plaintext import decoded

_SAMPLE = 64 * 1024
_DELIMITERS = (",", ";", "\t", "|")
_FIELD = 50_000_000


def read_data(path: Path, mime_type: str, progress: Progress) -> Extraction:
    """Return a file of data as text: tables as Markdown, records as lines of "key: value".

    Raises:
        InvalidArgument: NOT_UTF8, CORRUPT_DOCUMENT with the place of the mistake, or NO_TEXT.
        Exhausted: EXTRACTION_LIMIT for more than 50 million characters.
    """
    check_length(path.stat().st_size // 4)
    text = decoded(path.read_bytes())
    check_length(len(text))
    if not text.strip():
        raise no_text("has no text: it holds white space alone")
    if mime_type == JSON:
        return _json(text, progress)
    if mime_type.endswith("jsonl"):
        return _jsonl(text, progress)
    return _csv(text, "\t" if mime_type == TSV else delimiter(text[:_SAMPLE]), progress)


def delimiter(sample: str) -> str:
    """Return what divides the cells: of the usual characters, the one with which most lines have the same number."""
    best, score = ",", 0.0
    for mark in _DELIMITERS:
        reader = csv.reader(io.StringIO(sample, newline=""), delimiter=mark)
        widths: Counter[int] = Counter()
        try:
            widths.update(len(row) for row in reader if row)
        except csv.Error:
            continue
        width, rows = max(widths.items(), key=lambda item: (item[0] > 1, item[1]), default=(0, 0))
        found = rows / max(sum(widths.values()), 1) if width > 1 else 0.0
        if found > score:
            best, score = mark, found
    return best


def _csv(text: str, mark: str, progress: Progress) -> Extraction:
    csv.field_size_limit(_FIELD)
    rows: list[Row] = []
    came = 0
    try:
        for came, cells in enumerate(csv.reader(io.StringIO(text, newline=""), delimiter=mark), start=1):
            if len(cells) > MAX_COLUMNS:
                raise corrupt(f"has {len(cells):,} cells in row {came}; {MAX_COLUMNS:,} is the limit")
            row = trimmed(came, cells)
            if row:
                rows.append(Row(came, 1, cells))
            progress("extract", came, 0, "rows")
    except csv.Error as error:
        raise corrupt(f"is no CSV after row {came} ({error})") from error
    if not rows:
        raise no_text("has no text: its cells are empty")
    writer = DocumentWriter()
    write_table(writer, rows)
    dropped = {"EMPTY_ROW": came - len(rows)} if came > len(rows) else {}
    return Extraction(writer.document(), "csv (Python)", 0, "rows", came, len(rows), dropped)


def _json(text: str, progress: Progress) -> Extraction:
    progress("extract", 0, 1, "files")
    value = _parsed(text)
    writer = DocumentWriter()
    written = write_value(writer, value)
    if not written:
        raise no_text("has no text: its values are empty")
    progress("extract", 1, 1, "files")
    return Extraction(writer.document(), "json (Python)", 0, "blocks", written, written)


def _jsonl(text: str, progress: Progress) -> Extraction:
    writer = DocumentWriter()
    dropped: Counter[str] = Counter()
    came = written = 0
    mistake: Exception | None = None
    for number, line in _lines(text):
        came += 1
        try:
            value = _parsed(line, number)
        except FineTuneFlowError as error:
            mistake = mistake or error
            dropped["INVALID_RECORD"] += 1
            continue
        if write_record(writer, value, Where(line=number)):
            written += 1
        else:
            dropped["EMPTY_RECORD"] += 1
        progress("extract", came, 0, "records")
    if not written:
        raise mistake or no_text("has no text: its records are empty")
    return Extraction(writer.document(), "json (Python)", 0, "records", came, written, dict(dropped))


def _lines(text: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(io.StringIO(text), start=1):
        if line.strip():
            yield number, line


def _parsed(text: str, line: int = 0) -> Any:
    """Return JSON's value, with numbers as they are written."""
    try:
        return json.loads(text, parse_float=str, parse_int=str)
    except json.JSONDecodeError as error:
        where = f"in line {line or error.lineno}, column {error.colno}"
        raise corrupt(f"is no JSON: {error.msg.lower()} {where}") from error
    except RecursionError as error:
        raise corrupt("is nested too deeply") from error
