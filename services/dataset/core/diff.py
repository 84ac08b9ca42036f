"""How two frozen versions differ, row by row."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

ADDED, REMOVED, CHANGED, MOVED = "ADDED", "REMOVED", "CHANGED", "MOVED"
_KINDS = (ADDED, REMOVED, CHANGED, MOVED)


@dataclass(frozen=True)
class Line:
    """What a frozen row is compared by.

    Args:
        name: its example.
        split: TRAIN, EVAL or RECALL.
        sha256: hash of its messages.
        file, file_name: where it comes from.
        prompt: its last user message, up to 200 characters.
    """

    name: str
    split: str
    sha256: str
    file: str
    file_name: str
    prompt: str

    @property
    def id(self) -> str:
        """The example's id, the same in every dataset for the same call."""
        return self.name.rpartition("/")[2]


@dataclass(frozen=True)
class Change:
    """One row that differs; `before` or `after` is None for one that is only in the other version."""

    kind: str
    before: Line | None
    after: Line | None

    @property
    def shown(self) -> Line:
        """The row as it is after, or was before it was removed."""
        line = self.after or self.before
        if line is None:
            raise ValueError("a change of nothing")
        return line


@dataclass(frozen=True)
class Difference:
    """How two versions differ: the rows that do, by kind and name, how many of each kind, and how many are the same."""

    changes: Sequence[Change]
    counts: Mapping[str, int]
    same: int


def lines(content: bytes) -> list[Line]:
    """Return the rows of a frozen file."""
    return [line(json.loads(text)) for text in content.decode().splitlines()]


def line(row: Mapping[str, Any]) -> Line:
    """Return what a row is compared by."""
    messages = row["messages"]
    asked = [str(m.get("content", "")) for m in messages if m.get("role") == "user"]
    digest = hashlib.sha256(json.dumps(messages, sort_keys=True).encode()).hexdigest()
    source = row.get("source") or {}
    return Line(
        row["id"],
        row["split"],
        digest,
        source.get("file", ""),
        source.get("file_name", ""),
        asked[-1][:200] if asked else "",
    )


def diff(before: Iterable[Line], after: Iterable[Line]) -> Difference:
    """Compare two versions.

    Rows are paired by their example's id, and what is left by their messages, so that the same row under another name,
    as after other settings of generation, is no change.
    """
    old, new = {line.id: line for line in before}, {line.id: line for line in after}
    pairs = [(old.pop(id), new.pop(id)) for id in list(old) if id in new]
    by_content: dict[str, list[Line]] = {}
    for found in old.values():
        by_content.setdefault(found.sha256, []).append(found)
    for found in list(new.values()):
        if twins := by_content.get(found.sha256):
            twin = twins.pop()
            pairs.append((old.pop(twin.id), new.pop(found.id)))
    changes = [Change(REMOVED, found, None) for found in old.values()]
    changes += [Change(ADDED, None, found) for found in new.values()]
    same = 0
    for first, second in pairs:
        if first.sha256 != second.sha256:
            changes.append(Change(CHANGED, first, second))
        elif first.split != second.split:
            changes.append(Change(MOVED, first, second))
        else:
            same += 1
    counts = {kind: sum(change.kind == kind for change in changes) for kind in _KINDS}
    return Difference(sorted(changes, key=lambda c: (_KINDS.index(c.kind), c.shown.name)), counts, same)
