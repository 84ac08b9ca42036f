"""Rows out of a file's bytes, one at a time: JSON Lines, one JSON list, CSV. Each row is good or refused."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from typing import Any, BinaryIO, NoReturn, TextIO

from services.common.errors import InvalidArgument
from services.dataset.core.formats.record import Refused, Row

MAX_ROW_BYTES = 1 << 20
MAX_DEPTH = 32
MAX_COLUMNS = 1_000
_BLOCK = 1 << 16
_WHITE = b" \t\r\n"

Numbered = tuple[int, Row | Refused]


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_no_constant)


def json_lines(file: BinaryIO) -> Iterator[Numbered]:
    """Yield (line, row) of each line that is not blank; lines count from 1."""
    number = 0
    while line := file.readline(MAX_ROW_BYTES + 2):
        number += 1
        if len(line) > MAX_ROW_BYTES and not line.endswith(b"\n"):
            while line and not line.endswith(b"\n"):
                line = file.readline(_BLOCK)
            yield number, _too_large()
            continue
        line = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
        if line.strip():
            yield number, _object(line)


def json_list(file: BinaryIO) -> Iterator[Numbered]:
    """Yield (place, row) of each element of one JSON list; places count from 1.

    Raises:
        InvalidArgument: IMPORT_REFUSED where an element cannot be told from the next.
    """
    with _text(file) as text:
        yield from _elements(text)


def _elements(text: TextIO) -> Iterator[Numbered]:
    held, number, most = text.read(_BLOCK).lstrip()[1:], 0, MAX_ROW_BYTES
    while True:
        held = held.lstrip().removeprefix(",").lstrip() if number else held.lstrip()
        if not held:
            held = text.read(_BLOCK)
            if not held:
                raise _unreadable(number + 1, "the list does not end")
            continue
        if held.startswith("]"):
            return
        try:
            value, end = _DECODER.raw_decode(held)
        except RecursionError:
            raise _unreadable(number + 1, "it is nested too deeply") from None
        except ValueError:
            more = text.read(max(len(held), _BLOCK)) if len(held) <= most else ""
            if not more:
                raise _unreadable(number + 1, "it is not JSON, or is too large") from None
            held += more
            continue
        number += 1
        yield number, _too_large() if end > most else _sound(value)
        held = held[end:]


def comma_separated(file: BinaryIO) -> Iterator[Numbered]:
    """Yield (record, row) of each record below the header; records count from 1. Separated by commas, ";" or tabs.

    Raises:
        InvalidArgument: IMPORT_REFUSED for a bad header, or a cell that does not end.
    """
    first = file.readline(MAX_ROW_BYTES)
    file.seek(0)
    delimiter = max(b",;\t", key=lambda c: first.count(bytes([c])))
    with _text(file) as text:
        yield from _records(text, chr(delimiter))


def _records(text: TextIO, delimiter: str) -> Iterator[Numbered]:
    csv.field_size_limit(MAX_ROW_BYTES)
    reader = csv.reader(text, delimiter=delimiter, strict=True)
    number = 0
    try:
        header = next(reader, [])
        if len(set(header)) != len(header) or not 0 < len(header) <= MAX_COLUMNS or not all(header):
            raise _unreadable(0, "the header names no column, or one twice")
        for cells in reader:
            if cells:
                number += 1
                yield number, _cells(header, cells)
    except csv.Error as error:
        raise _unreadable(number + 1, f"{error}; a quote may not be closed") from None


def _text(file: BinaryIO) -> TextIO:
    """Return a file's text; bytes that are not UTF-8 become halves of surrogate pairs, which are found later."""
    return io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="")


def nested(value: Any) -> Any:
    """Return a cell's text as the list of messages that it is, if it is one; else as it is."""
    if not isinstance(value, str) or not value.lstrip().startswith("[{"):
        return value
    found = listed(value)
    good = isinstance(found, list) and all(isinstance(m, dict) and ("role" in m or "from" in m) for m in found)
    return found if good else value


def listed(value: Any) -> Any:
    """Return a cell's text as the JSON that it is, None for an empty one, or as it is if it is no JSON."""
    if not isinstance(value, str):
        return value
    try:
        return _DECODER.decode(value) if value.strip() else None
    except (ValueError, RecursionError):
        return value


def _object(line: bytes) -> Row | Refused:
    try:
        return _sound(_DECODER.decode(line.decode("utf-8")))
    except UnicodeDecodeError:
        return Refused("NOT_UTF8", "The row is not UTF-8. Convert the file.")
    except RecursionError:
        return _too_deep()
    except ValueError:
        return Refused("INVALID_JSON", "The row is not JSON. Correct it; each line is one whole object.")


def _cells(header: list[str], cells: list[str]) -> Row | Refused:
    if len(cells) != len(header):
        why = f"The row has {len(cells):,} cells, the header {len(header):,}. Quote cells that hold a separator."
        return Refused("WRONG_COLUMNS", why)
    if sum(map(len, cells)) > MAX_ROW_BYTES:
        return _too_large()
    if any("\udc80" <= c <= "\udcff" for cell in cells if not cell.isascii() for c in cell):
        return Refused("NOT_UTF8", "The row is not UTF-8. Convert the file.")
    return dict(zip(header, cells, strict=True))


def _sound(value: Any) -> Row | Refused:
    if not isinstance(value, dict):
        return Refused("NOT_AN_OBJECT", "The row is no object. Write its columns by name.")
    if _depth(value) > MAX_DEPTH:
        return _too_deep()
    return (
        value
        if len(value) <= MAX_COLUMNS
        else Refused("WRONG_COLUMNS", "The row has too many columns. Leave some out.")
    )


def _depth(value: Any) -> int:
    """Return how deeply a value is nested, at most one more than is allowed."""
    level, depth = [value], 0
    while level and depth <= MAX_DEPTH:
        inner = [v.values() if isinstance(v, dict) else v for v in level if isinstance(v, dict | list)]
        level = [item for items in inner for item in items]
        depth += 1
    return depth


def _too_deep() -> Refused:
    return Refused("TOO_DEEP", f"The row is nested more than {MAX_DEPTH} deep. Flatten it.")


def _too_large() -> Refused:
    return Refused("ROW_TOO_LARGE", f"The row has more than {MAX_ROW_BYTES:,} bytes. Shorten it.")


def _unreadable(number: int, why: str) -> InvalidArgument:
    where = f"Row {number:,}" if number else "The file"
    return InvalidArgument(
        f"{where} cannot be read ({why[:200]}), nor what follows it. Correct the file; JSON Lines are read row by row.",
        reason="IMPORT_REFUSED",
    )
