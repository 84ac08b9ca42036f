"""Parquet, by way of JSON Lines. The library is loaded when it is first needed."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from services.dataset.core.formats.table import FLAG, MESSAGES, NUMBER, PAIRS, SCORE, TURNS, shape

if TYPE_CHECKING:
    from arro3.core import DataType, Schema

ROW_GROUP = 10_000
_BATCH = 1_000


def write(source: Path, target: Path, columns: Iterable[str], message_keys: frozenset[str]) -> None:
    """Write JSON Lines as Parquet, compressed by Zstandard; tools are JSON in a text, for they have no fixed form."""
    from arro3.io import read_json, write_parquet

    rows = read_json(str(source), _schema(columns, message_keys), batch_size=_BATCH)
    write_parquet(rows, str(target), compression="zstd(3)", max_row_group_size=ROW_GROUP)


def read(source: Path, target: BinaryIO) -> None:
    """Write the rows of a Parquet file as JSON Lines; whoever calls it with a stranger's file limits the process."""
    from arro3.io import read_parquet, write_ndjson

    write_ndjson(read_parquet(str(source), batch_size=_BATCH), target)


def _schema(columns: Iterable[str], message_keys: frozenset[str]) -> Schema:
    from arro3.core import Field, Schema

    return Schema([Field(name, _type(shape(name), message_keys), nullable=True) for name in columns])


def _type(shape: str, message_keys: frozenset[str]) -> DataType:
    from arro3.core import DataType

    text = DataType.string()
    if shape == MESSAGES:
        call = _struct(type=text, id=text, function=_struct(name=text, arguments=text))
        more = {"tool_calls": _list(call), "tool_call_id": text, "name": text}
        return _list(_struct(role=text, content=text, **{k: t for k, t in more.items() if k in message_keys}))
    if shape == TURNS:
        return _list(_struct(**{"from": text, "value": text}))
    if shape == PAIRS:
        return _list(_list(text))
    return {FLAG: DataType.bool(), NUMBER: DataType.int64(), SCORE: DataType.float64()}.get(shape, text)


def _struct(**fields: DataType) -> DataType:
    from arro3.core import DataType, Field

    return DataType.struct([Field(name, kind, nullable=True) for name, kind in fields.items()])


def _list(item: DataType) -> DataType:
    from arro3.core import DataType, Field

    return DataType.list(Field("item", item, nullable=True))
