"""What every store checks before it asks its database: names, paths, conditions and documents, as the port has them."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import Any

from services.common.documents.port import MAX_BYTES, MAX_IN, Document, Where
from services.common.errors import InvalidArgument

_PATH = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_0-9]+)*")
_COLLECTION = re.compile(r"[a-z][a-z0-9_]{0,62}")
_RANGES = ("$gt", "$gte", "$lt", "$lte")
_COLUMNS = ("_id", "revision")
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


@dataclass(frozen=True)
class Condition:
    """One condition of a where clause.

    Args:
        path: where the value lies.
        operator: $eq, $ne, $in, $gt, $gte, $lt or $lte.
        value: what it is compared with; a list for $in.
    """

    path: str
    operator: str
    value: Any


def collection_name(name: str) -> str:
    """Return the name.

    Raises:
        InvalidArgument: it is not a collection's name.
    """
    if not _COLLECTION.fullmatch(name):
        raise InvalidArgument(f"{name!r} is not a collection's name. Use lower-case letters, digits and underscores.")
    return name


def path(text: str) -> str:
    """Return the path.

    Raises:
        InvalidArgument: it is not one.
    """
    if not _PATH.fullmatch(text):
        message = f"{text!r} is not a path. Join names of letters, digits and underscores by dots."
        raise InvalidArgument(message)
    return text


def conditions(where: Where) -> list[Condition]:
    """Return a where clause's conditions, in their order.

    Raises:
        InvalidArgument: a path, an operator or a value that the language does not have.
    """
    found = []
    for at, wanted in where.items():
        path(at)
        operators = wanted if isinstance(wanted, dict) else {"$eq": wanted}
        if not operators:
            raise InvalidArgument(f"The condition on {at} is empty. Give a value or an operator.")
        found += [_condition(at, operator, value) for operator, value in operators.items()]
    return found


def _condition(at: str, operator: str, value: Any) -> Condition:
    if operator in _RANGES:
        if value is None or isinstance(value, bool):
            raise InvalidArgument(f"A range on {at} cannot end at {value!r}. Use a number or a string.")
        return Condition(at, operator, _scalar(at, value))
    if operator in ("$eq", "$ne"):
        return Condition(at, operator, value if value is None else _scalar(at, value))
    if operator != "$in":
        message = f"{operator!r} on {at} is not an operator. Use $gt, $gte, $lt, $lte, $ne or $in."
        raise InvalidArgument(message)
    if not isinstance(value, list | tuple | set | frozenset):
        raise InvalidArgument(f"$in on {at} needs a list of values.")
    if len(value) > MAX_IN:
        raise InvalidArgument(f"$in on {at} has {len(value)} values. Ask for at most {MAX_IN} at a time.")
    return Condition(at, operator, [one if one is None else _scalar(at, one) for one in value])


def _scalar(at: str, value: Any) -> Any:
    if at in _COLUMNS and (isinstance(value, bool) or isinstance(value, str) is not (at == "_id")):
        raise InvalidArgument(f"{at} cannot be {value!r}. An _id is a string, a revision a number.")
    if isinstance(value, bool | str):
        return value
    if isinstance(value, int) and -(2**63) <= value < 2**63:
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    message = f"The value for {at} cannot be compared. Use a string, a finite number, true, false or None."
    raise InvalidArgument(message)


def identifier(doc: Document) -> str:
    """Return a document's `_id`.

    Raises:
        InvalidArgument: it has none.
    """
    id = doc.get("_id")
    if not isinstance(id, str) or not id:
        raise InvalidArgument("A document needs an _id that is a string and not empty.")
    return id


def revision(doc: Document) -> int:
    """Return a document's revision.

    Raises:
        InvalidArgument: it was never read from a store.
    """
    number = doc.get("revision")
    if not isinstance(number, int):
        raise InvalidArgument("Only a document that was read can be replaced: it has a revision. Read it first.")
    return number


def body(doc: Document) -> str:
    """Return a document without `_id` and revision, as compact JSON.

    Raises:
        InvalidArgument: it is not JSON, or larger than 1 MiB.
    """
    content = dict(doc)
    for column in _COLUMNS:
        content.pop(column, None)
    try:
        text = _ENCODER.encode(content)
        size = len(text.encode())
    except (TypeError, ValueError, RecursionError) as error:
        message = f"The document {doc['_id']!r} is not JSON ({error}). Store strings, finite numbers, lists and dicts."
        raise InvalidArgument(message) from error
    if size > MAX_BYTES:
        message = (
            f"The document {doc['_id']!r} has {size} bytes; {MAX_BYTES} is the limit. Store large parts as objects."
        )
        raise InvalidArgument(message)
    return text
