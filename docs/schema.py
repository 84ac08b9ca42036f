"""Write the page of the document stores: a part of docs/reference.py

Collections and their indexes are read from the services that declare them; the names of the fields from the functions
that make the documents. docs/schema.toml says what each field means. Where the two differ, nothing is written.
"""

from __future__ import annotations

import ast
import importlib
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.common.documents.port import MAX_BYTES
from services.common.outside import KINDS
from services.common.ownership import COLLECTION

ROOT = Path(__file__).resolve().parents[1]
SHARED = "shared"
_NAMES = ("doc", "fields", "found", "current", "d", "batch", "document", "made", "row")
"""What the code calls a document, or the fields that become one."""
_QUESTIONS = ("find", "count", "get", "page")
"""Calls whose dictionaries ask for documents and make none."""

_INTRODUCTION = """# Database schema

Made by `make docs` of the code that writes the documents. Each service has a database of its own, which no other
service opens: `{names}`. On a cluster these are databases in MongoDB, `finetuneflow_dataset`
and so on; on one machine each is a SQLite file, where a document is a row of JSON with the same fields.

Rules that hold everywhere: each write changes one document and is durable when it returns; a document that changes is
replaced only at its newest `revision`; there are no transactions and no references that the database knows of. Every
index ends with `_id`. A document has at most {most:,} bytes. Times are seconds since 1970.
"""


@dataclass(frozen=True)
class Declared:
    """A collection as a service declares it."""

    service: str
    collection: str
    indexes: tuple[str, ...]


class Differs(Exception):
    """docs/schema.toml is not what the code says; the message names each field."""


def described() -> dict[str, Any]:
    """Return what docs/schema.toml says."""
    return tomllib.loads((ROOT / "docs/schema.toml").read_text(encoding="utf-8"))


def declared() -> list[Declared]:
    """Return every collection that a service opens, in the order of the code, with its indexes."""
    found = []
    for path in sorted((ROOT / "services").glob("*/compose.py")):
        service = path.parent.name
        module = importlib.import_module(f"services.{service}.compose")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "collection":
                name, *indexes = (_value(argument, vars(module)) for argument in node.args)
                found.append(Declared(service, name, indexes[0] if indexes else ()))
        found.append(Declared(service, "readiness", ()))
        if service in KINDS:
            found.append(Declared(service, COLLECTION, ()))
    return found


def _value(expression: ast.expr, names: dict[str, Any]) -> Any:
    """Return what an expression of a module is: a text, or a tuple of indexes."""
    return eval(compile(ast.Expression(expression), "compose", "eval"), names)  # noqa: S307 - the project's own code


def fields_of(entry: dict[str, Any]) -> set[str]:
    """Return the names of the fields that the code puts into documents of one kind."""
    found: set[str] = set()
    for place in entry["made_by"]:
        path, _, function = place.partition(":")
        bodies = [node for node in ast.walk(_tree(path)) if _is_function(node) and node.name == function]
        if not bodies:
            raise Differs(f"{place} is no function.")
        for body in bodies:
            found |= set(_keys(body))
    return found


def _tree(path: str) -> ast.Module:
    return ast.parse((ROOT / path).read_text(encoding="utf-8"))


def _is_function(node: ast.AST) -> bool:
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)


def _keys(node: ast.AST) -> Iterator[str]:
    """Yield the keys of the dictionaries that become documents, but for what lies in their values."""
    if isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values, strict=True):
            if key is None:
                yield from _keys(value)
            elif isinstance(key, ast.Constant):
                yield str(key.value)
        return
    if isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        targets = [one for target in targets for one in getattr(target, "elts", [target])]
        yield from filter(None, map(_put, targets))
        if node.value and any(isinstance(target, ast.Name) and target.id in _NAMES for target in targets):
            yield from _keys(node.value)
        return
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        if node.func.attr in _QUESTIONS:
            return
        if node.func.attr == "update" and isinstance(node.func.value, ast.Name) and node.func.value.id in _NAMES:
            yield from (keyword.arg for keyword in node.keywords if keyword.arg)
    for child in ast.iter_child_nodes(node):
        yield from _keys(child)


def _put(target: ast.expr) -> str:
    """Return the field that an assignment puts into a document; "" if it does not."""
    if not isinstance(target, ast.Subscript) or not isinstance(target.slice, ast.Constant):
        return ""
    holder = target.value
    name = holder.id if isinstance(holder, ast.Name) else holder.attr if isinstance(holder, ast.Attribute) else ""
    return str(target.slice.value) if name in _NAMES else ""


def check(said: dict[str, Any], found: list[Declared]) -> None:
    """Compare what is said with what the code has.

    Raises:
        Differs: a collection or a field is missing on either side, or is said to be another service's.
    """
    wrong = []
    services = {name: ", ".join(one.service for one in found if one.collection == name) for name in said}
    wrong += [f"no collection {name}" for name in {one.collection for one in found} ^ (set(said) - {SHARED})]
    for name, entry in (*said.items(), *said[SHARED].items()):
        if name == SHARED:
            continue
        in_code, in_text = fields_of(entry) - set(entry.get("not_stored", ())), set(entry["fields"])
        shared = {field for other in entry.get("shared", ()) for field in said[SHARED][other]["fields"]}
        store = {"_id", "revision"}
        wrong += [f"{name}.{field} is not described" for field in sorted(in_code - in_text - shared)]
        wrong += [f"{name}.{field} is in no code" for field in sorted(in_text - in_code - store)]
        if "service" in entry and sorted(entry["service"].split(", ")) != sorted(services[name].split(", ")):
            wrong.append(f"{name} is of {services[name]}")
    if wrong:
        raise Differs("docs/schema.toml differs from the code: " + "; ".join(wrong))


def page() -> str:
    """Return the page. Raises Differs."""

    said, found = described(), declared()
    check(said, found)
    names = "`, `".join(sorted({one.service for one in found}))
    return _INTRODUCTION.format(names=names, most=MAX_BYTES) + "".join(
        [
            *(_collection(name, entry, found) for name, entry in said.items() if name != SHARED),
            *(f"\n## {name}\n\n{entry['about']}\n{_table(entry)}" for name, entry in said[SHARED].items()),
        ]
    )


def _collection(name: str, entry: dict[str, Any], found: list[Declared]) -> str:
    indexes = list(dict.fromkeys(index for one in found if one.collection == name for index in one.indexes))
    lines = [f"\n## {name}\n", f"Database: {entry['service']}. {entry['about']}"]
    if indexes:
        lines.append("Indexes: " + ", ".join(f"`{index.replace(',', ', ')}`" for index in indexes) + ".")
    if entry["made_by"]:
        places = dict.fromkeys(place.partition(":")[0] for place in entry["made_by"])
        lines.append("Made in " + ", ".join(f"`{place}`" for place in places) + ".")
    shared = entry.get("shared", [])
    if shared:
        lines.append("Has all fields of " + " and ".join(f"[{other}](#{other})" for other in shared) + ", and:")
    return "\n".join(lines[:2]) + "\n\n" + "\n".join(lines[2:]) + "\n" + _table(entry)


def _table(entry: dict[str, Any]) -> str:
    rows = [f"| `{name}` | {kind} | {meaning} |\n" for name, (kind, meaning) in entry["fields"].items()]
    return "\n| field | type | |\n|---|---|---|\n" + "".join(rows) if rows else ""
