"""The where language as SQL over JSON text: names are checked and become literals, values become parameters.

Paths must be literals, for SQLite uses an index on an expression only if the query spells the expression the same way.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from services.common.documents import checked
from services.common.documents.port import Where

_RANGES = {"$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}
_COLUMNS = {"_id": "id", "revision": "revision"}
_NUMBER = "('integer','real')"


def table(name: str) -> str:
    """Return the quoted table of a collection, out of the way of SQLite's and our own tables."""
    return f'"c_{checked.collection_name(name)}"'


def schema(name: str, indexes: Sequence[str]) -> list[str]:
    """Return the statements that make a collection; each may run again."""
    home = table(name)
    statements = [
        f"CREATE TABLE IF NOT EXISTS {home}"
        " (id TEXT PRIMARY KEY NOT NULL, revision INTEGER NOT NULL, body TEXT NOT NULL)"
    ]
    for index in indexes:
        paths = index.split(",")
        columns = ", ".join(_value(path) for path in paths)
        tie = "" if "_id" in paths else ", id"  # sorting ends with the id, so the index does too
        statements.append(f'CREATE INDEX IF NOT EXISTS "i_{name}:{index}" ON {home} ({columns}{tie})')
    return statements


def condition(where: Where) -> tuple[str, list[Any]]:
    """Return a WHERE clause (empty for none) and its parameters.

    Raises:
        InvalidArgument: a path, an operator or a value that the language does not have.
    """
    parts: list[str] = []
    parameters: list[Any] = []
    for one in checked.conditions(where):
        sql, values = _operator(one)
        parts.append(sql)
        parameters += values
    return (" WHERE " + " AND ".join(parts) if parts else ""), parameters


def ordering(sort: str, descending: bool) -> str:
    """Return the ORDER BY clause: the path, then the id."""
    way = " DESC" if descending else ""
    return f" ORDER BY id{way}" if sort == "_id" else f" ORDER BY {_value(sort)}{way}, id{way}"


def _operator(one: checked.Condition) -> tuple[str, list[Any]]:
    if one.operator == "$eq":
        return _equal(one.path, one.value)
    if one.operator == "$ne":
        sql, values = _equal(one.path, one.value)
        return f"({sql}) IS NOT TRUE", values
    if one.operator == "$in":
        return _among(one.path, one.value)
    return _range(one.path, _RANGES[one.operator], one.value)


def _equal(path: str, value: Any) -> tuple[str, list[Any]]:
    column = _value(path)
    if value is None:
        return f"{column} IS NULL", []
    return f"{column} = ?{_kind(path, value)}", [_parameter(value)]


def _among(path: str, values: list[Any]) -> tuple[str, list[Any]]:
    column = _value(path)
    groups: dict[str, list[Any]] = {}
    for value in values:
        if value is not None:
            groups.setdefault(_kind(path, value), []).append(_parameter(value))
    choices = [f"{column} IN ({','.join('?' * len(group))}){kind}" for kind, group in groups.items()]
    if None in values:
        choices.append(f"{column} IS NULL")
    return f"({' OR '.join(choices) or 'FALSE'})", [value for group in groups.values() for value in group]


def _range(path: str, sign: str, value: Any) -> tuple[str, list[Any]]:
    column = _value(path)
    if path in _COLUMNS:
        return f"{column} {sign} ?", [value]
    kind = "= 'text'" if isinstance(value, str) else f"IN {_NUMBER}"
    # SQLite orders numbers below text. The second bound keeps the scan of an index inside the value's own kind.
    bound = f" AND {column} >= ''" if isinstance(value, str) else f" AND {column} < ''"
    return f"({column} {sign} ?{bound} AND {_type(path)} {kind})", [value]


def _kind(path: str, value: Any) -> str:
    """Return the condition that keeps kinds apart which json_extract makes alike: true and 1, a list and its text."""
    if path in _COLUMNS:
        return ""
    if isinstance(value, bool):
        return f" AND {_type(path)} IN ('true','false')"
    if isinstance(value, str):
        return f" AND {_type(path)} = 'text'" if value[:1] in ("{", "[") else ""
    return f" AND {_type(path)} IN {_NUMBER}"


def _parameter(value: Any) -> Any:
    return int(value) if isinstance(value, bool) else value


def _value(path: str) -> str:
    checked.path(path)
    return _COLUMNS.get(path) or f"json_extract(body,'{_pointer(path)}')"


def _type(path: str) -> str:
    return f"json_type(body,'{_pointer(path)}')"


def _pointer(path: str) -> str:
    return "$" + "".join(f'."{segment}"' for segment in path.split("."))
