"""Frozen versions in the forms that other programs read."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.common.documents.port import Document
from services.common.errors import InvalidArgument, NotReady
from services.common.objects.port import Objects
from services.common.protoform import count_to_document
from services.dataset import parquet
from services.dataset.core.formats import frozenrow, reviewed
from services.dataset.core.formats.catalog import FORMATS
from services.dataset.core.formats.record import KTO, PREFERENCE, SFT, Record, Refused
from services.dataset.core.formats.table import JSON, Table, comma_separated, json_lines, shape
from services.dataset.lines import scratch

JSONL, CSV, PARQUET = "jsonl", "csv", "parquet"
ENCODINGS = (JSONL, CSV, PARQUET)
_DECIDE = {
    PREFERENCE: "Pairs are of a rejected and an approved answer to one prompt: decide with `ftf dataset review EXAMPLE "
    "--reject` or `--approve`; `ftf dataset edit` changes an example's prompt or answer.",
    KTO: "Decide about examples with `ftf dataset review EXAMPLE --approve` or `--reject`.",
}
"""What to do where no decision gives a row."""
SPLITS = ("", "TRAIN", "EVAL", "RECALL")

Records = Callable[[], Iterable[Record | Refused]]


@dataclass(frozen=True)
class Wish:
    """What to write.

    Args:
        format: one of FORMATS.
        encoding: one of ENCODINGS.
        with_source: whether each row says where it comes from.
        split: TRAIN, EVAL or RECALL for those rows only; "" for all.
    """

    format: str
    encoding: str = JSONL
    with_source: bool = False
    split: str = ""

    def check(self) -> None:
        """Raises InvalidArgument for a value that there is not."""
        for field, value, known in (
            ("format", self.format, tuple(FORMATS)),
            ("encoding", self.encoding, ENCODINGS),
            ("split", self.split, SPLITS),
        ):
            if value not in known:
                raise InvalidArgument(f'{field} is "{value[:80]}". Use one of {", ".join(known)}.', field=field)


@dataclass(frozen=True)
class Exported:
    """A file that was written.

    Args:
        path: where it lies, until the export is closed.
        columns: its columns.
        count: rows that came in, went out and were dropped by reason.
    """

    path: Path
    size: int
    sha256: str
    columns: tuple[str, ...]
    count: Document


class Exporter:
    """Writes frozen versions in other forms.

    Args:
        scratch: an existing folder for the files, until they are sent.
    """

    def __init__(self, objects: Objects, scratch: Path) -> None:
        self._objects = objects
        self._scratch = scratch

    @asynccontextmanager
    async def export(self, key: str, wish: Wish) -> AsyncIterator[Exported]:
        """Write the version stored under a key; the file is gone when the context ends. Repeating gives the same bytes.

        Raises:
            InvalidArgument: there is no such format, encoding or split.
            NotReady: no row of the version can be written so (NOTHING_TO_EXPORT).
        """
        wish.check()
        async with scratch(self._scratch) as folder:
            source = folder / "frozen"
            with source.open("wb") as file:
                async for block in self._objects.get(key):
                    await asyncio.to_thread(file.write, block)
            yield await asyncio.to_thread(build, lambda: _records(source), folder, wish)

    @asynccontextmanager
    async def export_reviews(
        self, examples: Sequence[Document], system_prompt: str, wish: Wish
    ) -> AsyncIterator[Exported]:
        """Write what people decided about examples as preferences or verdicts; see export.

        Raises:
            InvalidArgument: the format is neither preference nor kto.
            NotReady: no decision gives a row (NOTHING_TO_EXPORT).
        """
        wish.check()
        make = {PREFERENCE: reviewed.preferences, KTO: reviewed.verdicts}.get(FORMATS[wish.format].kind)
        if make is None:
            raise InvalidArgument("Only preference and kto are made of review decisions. Use one.", field="format")
        async with scratch(self._scratch) as folder:
            remedy = _DECIDE[FORMATS[wish.format].kind]
            yield await asyncio.to_thread(build, lambda: make(examples, system_prompt), folder, wish, remedy)


def build(records: Records, folder: Path, wish: Wish, remedy: str = "") -> Exported:
    """Write records as a file into a folder. They are gone through twice, one at a time.

    Args:
        remedy: what to do if there is nothing to write; "" for what follows from the format.

    Raises:
        NotReady: none of them can be written so (NOTHING_TO_EXPORT).
    """
    table = Table(wish.format, wish.with_source, wish.split)
    table.measure(records())
    if not table.rows:
        raise _nothing(table, remedy)
    path = folder / f"export.{wish.encoding}"
    rows = table.full(records())
    if wish.encoding == CSV:
        size, sha256 = _write(path, comma_separated(table.columns, rows))
    elif wish.encoding == JSONL:
        size, sha256 = _write(path, json_lines(rows))
    else:
        _write(folder / "rows", json_lines(_flattened(rows)))
        parquet.write(folder / "rows", path, table.columns, table.message_keys)
        size, sha256 = _hashed(path)
    count = count_to_document("export", table.came, table.rows, dict(table.dropped))
    return Exported(path, size, sha256, table.columns, count)


def _records(path: Path) -> Iterator[Record]:
    with path.open("rb") as lines:
        for line in lines:
            yield frozenrow.record(json.loads(line))


def _flattened(rows: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield rows whose columns without a fixed form are JSON in a text."""
    for row in rows:
        yield {
            name: json.dumps(value, ensure_ascii=False)
            if shape(name) == JSON and value is not None and not isinstance(value, str)
            else value
            for name, value in row.items()
        }


def _write(path: Path, pieces: Iterable[bytes]) -> tuple[int, str]:
    digest = hashlib.sha256()
    size = 0
    with path.open("wb") as file:
        for piece in pieces:
            file.write(piece)
            digest.update(piece)
            size += len(piece)
    return size, digest.hexdigest()


def _hashed(path: Path) -> tuple[int, str]:
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        return file.tell(), sha256


def _nothing(table: Table, remedy: str) -> NotReady:
    drops = ", ".join(f"{reason} {count:,}" for reason, count in table.dropped.most_common())
    fitting = [name for name, format in FORMATS.items() if format.kind == SFT]
    remedy = remedy or (
        f"Use one of {', '.join(fitting)}, or import a dataset with such rows."
        if FORMATS[table.format].kind != SFT
        else "Choose another format or split."
    )
    return NotReady(
        f"None of {table.came:,} examples can be written as {table.format} ({drops}). {remedy}",
        reason="NOTHING_TO_EXPORT",
        field="format",
    )
