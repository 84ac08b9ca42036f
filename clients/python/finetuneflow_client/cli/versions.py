"""Frozen versions of datasets compared."""

from __future__ import annotations

from finetuneflow.dataset.v1 import versions_pb2
from finetuneflow_client import names
from finetuneflow_client.cli import targets
from finetuneflow_client.cli.output import to_json
from finetuneflow_client.cli.session import Session

_KINDS = {1: "added", 2: "removed", 3: "changed", 4: "moved"}


async def diff(session: Session) -> None:
    """Compare two versions row by row."""
    args = session.args
    base, base_version = await _version(session, args.base)
    other, other_version = await _version(session, args.other) if args.other else (base, 0)
    request = versions_pb2.DiffVersionsRequest(
        base=base, base_version=base_version, other=other, other_version=other_version, page_size=1000
    )
    found = await session.flow.dataset.DiffVersions(request, timeout=300)
    changes, page = list(found.changes), found
    while page.next_page_token:
        request.page_token = page.next_page_token
        page = await session.flow.dataset.DiffVersions(request, timeout=300)
        changes += page.changes
    if session.output.as_json:
        whole = to_json(found)
        session.output.json({**whole, "changes": [to_json(change) for change in changes], "next_page_token": ""})
        return
    session.output.line(
        f"{names.short(base)}:{found.base_version} → {names.short(other)}:{found.other_version}: "
        f"{found.added:,} added, {found.removed:,} removed, {found.changed:,} changed, {found.moved:,} moved, "
        f"{found.same:,} the same"
    )
    rows = [(_KINDS.get(c.kind, ""), names.short(c.example), _side(c), c.file_display_name, c.prompt) for c in changes]
    if rows:
        session.output.table(("CHANGE", "EXAMPLE", "SIDE", "FILE", "PROMPT"), rows)


def _side(change: versions_pb2.Change) -> str:
    sides = [side for side in (change.before_split, change.after_split) if side]
    return " → ".join(dict.fromkeys(sides))


async def _version(session: Session, value: str) -> tuple[str, int]:
    """Return a dataset's name and a version, from "DATASET:N", "N" or "DATASET"; 0 where no version is said."""
    name, _, number = value.rpartition(":")
    if name and number.isdigit():
        return await targets.dataset(session, name), int(number)
    if value.isdigit():
        return await targets.dataset(session, session.args.dataset), int(value)
    return await targets.dataset(session, value or session.args.dataset), 0
