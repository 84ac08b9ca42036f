"""Documents as MongoDB can bear them. What BSON lacks is written another way and comes back as it was.

Names that paths can reach, of letters, digits and underscores, stay as they are, so conditions and indexes need no
translation. The rest of JSON's freedom is kept by an escape that no such name contains:

    {"a.b": 1, "$c": 2, "": 3}     {"a%2Eb": 1, "%24c": 2, "%": 3}
    [[1], [2]]                     [{"%list": [1]}, {"%list": [2]}]
    2**70                          {"%int": "1180591620717411303424"}
"""

from __future__ import annotations

import json
import re
from typing import Any

from services.common.documents import checked
from services.common.documents.port import Document, Where

_ESCAPED = re.compile(r"[%.$\0]")
_ESCAPE = re.compile(r"%([0-9A-F]{2})")
_EMPTY = "%"
_LIST = "%list"
_INT = "%int"


def to_bson(value: Any) -> Any:
    """Return a JSON value in a form that every server of MongoDB's protocol stores."""
    if isinstance(value, dict):
        return {_name(key): to_bson(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [{_LIST: to_bson(one)} if isinstance(one, list) else to_bson(one) for one in value]
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return {_INT: str(value)}
    return value


def from_bson(value: Any) -> Any:
    """Return what to_bson was given."""
    if isinstance(value, list):
        return [from_bson(one) for one in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        ((key, inner),) = value.items()
        if key == _LIST:
            return [from_bson(one) for one in inner]
        if key == _INT:
            return int(inner)
    return {_original(key): from_bson(inner) for key, inner in value.items()}


def _name(key: str) -> str:
    return _ESCAPED.sub(lambda match: f"%{ord(match[0]):02X}", key) or _EMPTY


def _original(name: str) -> str:
    return "" if name == _EMPTY else _ESCAPE.sub(lambda match: chr(int(match[1], 16)), name)


def stored(doc: Document, revision: int) -> tuple[Document, Document]:
    """Return a document at a revision: as MongoDB keeps it, and as the caller gets it back.

    Raises:
        InvalidArgument: it has no `_id`, is not JSON, or is larger than 1 MiB.
    """
    id, content = checked.identifier(doc), json.loads(checked.body(doc))
    return {"_id": id, "revision": revision, **to_bson(content)}, {"_id": id, "revision": revision, **content}


def condition(where: Where) -> dict[str, Any]:
    """Return a where clause as MongoDB's filter: the language was made after MongoDB's, so only checking is left.

    Raises:
        InvalidArgument: a path, an operator or a value that the language does not have.
    """
    wanted: dict[str, dict[str, Any]] = {}
    for one in checked.conditions(where):
        wanted.setdefault(one.path, {})[one.operator] = one.value
    # A bare value is the form in which every server finds its way by _id.
    return {path: operators["$eq"] if set(operators) == {"$eq"} else operators for path, operators in wanted.items()}
