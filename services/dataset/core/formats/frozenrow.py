"""A line of a frozen version as a record, with its provenance in flat columns."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from services.dataset.core.formats.record import Record

_SOURCE = ("file_name", "file", "chunk", "evidence", "llm", "prompt_version", "judge", "sha256", "row")


def record(row: Mapping[str, Any]) -> Record:
    """Return the record of one line's object."""
    chosen, rejected = row.get("chosen", ()), row.get("rejected", ())
    return Record(
        messages=tuple(row["messages"]),
        tools=tuple(row.get("tools", ())),
        answer=len(chosen) or int(row.get("answer", 1)),
        rejected=tuple(rejected),
        label=row.get("label"),
        split=row["split"],
        id=row["id"],
        source=_flat(row.get("source", {})),
        raw=bool(row.get("raw", False)),
    )


def fields(record: Record) -> dict[str, Any]:
    """Return what a line says beside id, split and source; `record(fields(r) | …)` gives the record again."""
    row: dict[str, Any] = {"messages": list(record.messages)}
    if record.tools:
        row["tools"] = list(record.tools)
    if record.rejected:
        row["chosen"], row["rejected"] = list(record.answers), list(record.rejected)
    elif record.answer != 1:
        row["answer"] = record.answer
    if record.label is not None:
        row["label"] = record.label
    if record.raw:
        row["raw"] = True
    return row


def line(record: Record, source: Mapping[str, Any]) -> str:
    """Return a record's line, without its end; the same record gives the same line."""
    row = {"id": record.id, "split": record.split, "source": dict(source), **fields(record)}
    return json.dumps(row, ensure_ascii=False, sort_keys=True)


def _flat(source: Mapping[str, Any]) -> dict[str, Any]:
    """Return provenance without nesting: names of people's use first."""
    found = {f"source_{name}": source[name] for name in _SOURCE if source.get(name)}
    place = source.get("place") or {}
    if place.get("page"):
        found["source_page"] = place["page"]
    if place.get("headings"):
        found["source_headings"] = " > ".join(place["headings"])
    return found
