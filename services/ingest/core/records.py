"""Values of JSON as text that people read: "key: value" lines, nested ones indented."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from services.ingest.core.document import Where
from services.ingest.core.normal import clean, one_line
from services.ingest.core.writer import DocumentWriter, Segment

_MOST_LEVELS = 4
"""Objects nested deeper than this are indented lines, not sections."""


def write_record(writer: DocumentWriter, value: Any, where: Where) -> bool:
    """Write a value as one block; return whether there was anything in it."""
    text = "\n".join(_lines(value, 0)).strip("\n")
    if not text.strip():
        return False
    writer.block("paragraph", [Segment("\\" + text if text.startswith("#") else text, where=where)])
    return True


def write_value(writer: DocumentWriter, value: Any, pointer: str = "", level: int = 1) -> int:
    """Write a JSON document: members that hold others become sections, elements of lists a block each.

    Returns:
        how many blocks were written, headings aside.
    """
    if isinstance(value, list):
        return sum(write_record(writer, item, Where(pointer=f"{pointer}/{n}")) for n, item in enumerate(value))
    if not isinstance(value, dict) or level > _MOST_LEVELS:
        return int(write_record(writer, value, Where(pointer=pointer)))
    plain = {key: item for key, item in value.items() if not _sectioned(item)}
    written = int(write_record(writer, plain, Where(pointer=pointer)))
    for key, item in value.items():
        title = one_line(clean(key))
        if _sectioned(item):
            inner = f"{pointer}/{_escaped(key)}"
            writer.heading(level, [Segment(title or "(no name)", where=Where(pointer=inner))])
            written += write_value(writer, item, inner, level + 1)
    return written


def _sectioned(value: Any) -> bool:
    """Whether a member is written as a section: an object, or a list with objects or lists in it."""
    if isinstance(value, list):
        return any(isinstance(item, (dict, list)) for item in value)
    return isinstance(value, dict) and bool(value)


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")


def _lines(value: Any, depth: int) -> Iterator[str]:
    indent = "  " * depth
    if isinstance(value, dict):
        for key, item in value.items():
            name = indent + one_line(clean(key)) + ":"
            if isinstance(item, (dict, list)):
                yield name
                yield from _lines(item, depth + 1)
            else:
                yield f"{name} {_scalar(item)}"
    elif isinstance(value, list):
        for item in value:
            if isinstance(item, (dict, list)):
                inner = list(_lines(item, depth + 1))
                yield from ([f"{indent}- {inner[0].lstrip()}", *inner[1:]] if inner else [])
            else:
                yield f"{indent}- {_scalar(item)}"
    elif value is not None and value != "":
        yield indent + _scalar(value)


def _scalar(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    return clean(str(value)).strip()
