"""The where language as SQL over JSON text: names are checked and become literals, values become parameters.

Paths must be literals, for SQLite uses an index on an expression only if the query spells the expression the same way.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

from services.common.documents.port import MAX_IN, Where
from services.common.errors import InvalidArgument

_PATH = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_0-9]+)*")
_COLLECTION = re.compile(r"[a-z][a-z0-9_]{0,62}")
_RANGES = {"$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}
_COLUMNS = {"_id": "id", "revision": "revision"}
_NUMBER = "('integer','real')"


def table(name: str) -> str:
    """Return the quoted table of a collection, out of the way of SQLite's and our own tables."""
    if not _COLLECTION.fullmatch(name):
        raise _invalid(f"{name!r} is not a collection's name. Use lower-case letters, digits and underscores.")
    return f'"c_{name}"'


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
    for path, wanted in where.items():
        operators = wanted if isinstance(wanted, dict) else {"$eq": wanted}
        if not operators:
            raise _invalid(f"The condition on {path} is empty. Give a value or an operator.")
        for operator, value in operators.items():
            sql, values = _operator(path, operator, value)
            parts.append(sql)
            parameters += values
    return (" WHERE " + " AND ".join(parts) if parts else ""), parameters


def ordering(sort: str, descending: bool) -> str:
    """Return the ORDER BY clause: the path, then the id."""
    way = " DESC" if descending else ""
    return f" ORDER BY id{way}" if sort == "_id" else f" ORDER BY {_value(sort)}{way}, id{way}"


def _operator(path: str, operator: str, value: Any) -> tuple[str, list[Any]]:
    if operator == "$eq":
        return _equal(path, value)
    if operator == "$ne":
        sql, values = _equal(path, value)
        return f"({sql}) IS NOT TRUE", values
    if operator == "$in":
        return _among(path, value)
    if operator in _RANGES:
        return _range(path, _RANGES[operator], value)
    raise _invalid(f"{operator!r} on {path} is not an operator. Use $gt, $gte, $lt, $lte, $ne or $in.")


def _equal(path: str, value: Any) -> tuple[str, list[Any]]:
    column = _value(path)
    if value is None:
        return f"{column} IS NULL", []
    return f"{column} = ?{_kind(path, value)}", [_scalar(path, value)]


def _among(path: str, values: Any) -> tuple[str, list[Any]]:
    if not isinstance(values, list | tuple | set | frozenset):
        raise _invalid(f"$in on {path} needs a list of values.")
    if len(values) > MAX_IN:
        raise _invalid(f"$in on {path} has {len(values)} values. Ask for at most {MAX_IN} at a time.")
    column = _value(path)
    groups: dict[str, list[Any]] = {}
    for value in values:
        if value is not None:
            groups.setdefault(_kind(path, value), []).append(_scalar(path, value))
    choices = [f"{column} IN ({','.join('?' * len(group))}){kind}" for kind, group in groups.items()]
    if None in values:
        choices.append(f"{column} IS NULL")
    return f"({' OR '.join(choices) or 'FALSE'})", [value for group in groups.values() for value in group]


def _range(path: str, sign: str, value: Any) -> tuple[str, list[Any]]:
    if value is None or isinstance(value, bool):
        raise _invalid(f"A range on {path} cannot end at {value!r}. Use a number or a string.")
    column = _value(path)
    if path in _COLUMNS:
        return f"{column} {sign} ?", [_scalar(path, value)]
    kind = "= 'text'" if isinstance(value, str) else f"IN {_NUMBER}"
    # SQLite orders numbers below text. The second bound keeps the scan of an index inside the value's own kind.
    bound = f" AND {column} >= ''" if isinstance(value, str) else f" AND {column} < ''"
    return f"({column} {sign} ?{bound} AND {_type(path)} {kind})", [_scalar(path, value)]


def _kind(path: str, value: Any) -> str:
    """Return the condition that keeps kinds apart which json_extract makes alike: true and 1, a list and its text."""
    if path in _COLUMNS:
        return ""
    if isinstance(value, bool):
        return f" AND {_type(path)} IN ('true','false')"
    if isinstance(value, str):
        return f" AND {_type(path)} = 'text'" if value[:1] in ("{", "[") else ""
    return f" AND {_type(path)} IN {_NUMBER}"


def _scalar(path: str, value: Any) -> Any:
    if path in _COLUMNS and isinstance(value, str) is not (path == "_id"):
        raise _invalid(f"{path} cannot be {value!r}. An _id is a string, a revision a number.")
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, str):
        return value
    if isinstance(value, int) and -(2**63) <= value < 2**63:
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    raise _invalid(f"The value for {path} cannot be compared. Use a string, a finite number, true, false or None.")


def _value(path: str) -> str:
    _check(path)
    return _COLUMNS.get(path) or f"json_extract(body,'{_pointer(path)}')"


def _type(path: str) -> str:
    return f"json_type(body,'{_pointer(path)}')"


def _pointer(path: str) -> str:
    return "$" + "".join(f'."{segment}"' for segment in path.split("."))


def _check(path: str) -> None:
    if not _PATH.fullmatch(path):
        raise _invalid(f"{path!r} is not a path. Join names of letters, digits and underscores by dots.")


def _invalid(message: str) -> InvalidArgument:
    return InvalidArgument(message)
