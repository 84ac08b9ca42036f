"""What lies in the document stores of one machine, compared with what docs/schema.toml says of it."""

from __future__ import annotations

import json
import sqlite3
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

_KINDS: dict[str, tuple[type, ...]] = {
    "text": (str,),
    "whole number": (int,),
    "number": (int, float),
    "true or false": (bool,),
    "object": (dict,),
    "list": (list,),
}
_SCHEMA = Path(__file__).resolve().parents[2] / "docs/schema.toml"


def undescribed(folder: Path) -> set[str]:
    """Return each field of the databases in a folder that the schema lacks, or that has another type there."""
    said = tomllib.loads(_SCHEMA.read_text(encoding="utf-8"))
    return {wrong for name, doc in _documents(folder) for wrong in differences(said, name, doc)}


def _documents(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every document with the name of its collection; a server may be using them."""
    for path in sorted(folder.glob("*.db")):
        database = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        tables = database.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE 'c!_%' ESCAPE '!'")
        for (table,) in tables.fetchall():
            for (body,) in database.execute(f'SELECT body FROM "{table}"'):
                yield table.removeprefix("c_"), json.loads(body)
        database.close()


def differences(said: Mapping[str, Any], name: str, doc: Mapping[str, Any]) -> Iterator[str]:
    """Yield what of a document is not as the schema says: "files.text is a list"."""
    entry = said[name]
    fields = dict(entry["fields"])
    for other in entry.get("shared", ()):
        fields |= said["shared"][other]["fields"]
    for field, value in doc.items():
        kind = fields.get(field, ["nothing"])[0]
        if kind == "nothing":
            yield f"{name}.{field} is not described"
        elif value is None:
            if not kind.endswith("?"):
                yield f"{name}.{field} is null"
        elif type(value) not in _KINDS[kind.removesuffix("?")]:
            yield f"{name}.{field} is a {type(value).__name__}"
