"""Reads a file of examples, writes those that are good, and a report of those that are not."""

from __future__ import annotations

import errno
import json
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from services.common import ids
from services.common.confined.answers import answer
from services.common.confined.limits import Limits, confine
from services.common.errors import Exhausted, FineTuneFlowError, InvalidArgument, to_document
from services.dataset import parquet
from services.dataset.core.formats import decoding
from services.dataset.core.formats.incoming import Incoming, Problem, Terms, fields
from services.dataset.core.formats.kinds import ENOUGH, other_than_text, refused
from services.dataset.core.sides import Sides

FAILED = 3
SHOWN = 20
TOLD_ROWS = 2_000
CSV, JSONL, JSON_LIST, PARQUET = "csv", "jsonl", "json", "parquet"
_ENCODER = json.JSONEncoder(sort_keys=True)
_BY_SUFFIX = {".csv": CSV, ".tsv": CSV, ".jsonl": JSONL, ".ndjson": JSONL, ".parquet": PARQUET}


def main(arguments: list[str]) -> int:
    """Do the job that the first argument names; the second is the parent's process id."""
    job: dict[str, Any] = json.loads(Path(arguments[0]).read_text(encoding="utf-8"))
    limits = Limits(**job["limits"])
    confine(limits, parent=int(arguments[1]))
    try:
        answer("result", read(job))
        return 0
    except FineTuneFlowError as error:
        answer("error", to_document(error))
    except MemoryError:
        answer("error", to_document(_too_much("memory", f"{limits.memory_bytes >> 20} MiB")))
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a stranger's file may break a reader in any way, Rust's panics included
        traceback.print_exc()
        answer("error", to_document(_explained(error, limits)))
    return FAILED


def read(job: dict[str, Any]) -> dict[str, Any]:
    """Read job["source"]; write good rows to job["rows"] with their sides to job["sides"], problems to job["report"].

    Raises:
        InvalidArgument: the file as a whole cannot be taken (IMPORT_REFUSED, IMPORT_NOT_TEXT,
            IMPORT_FORMAT_UNKNOWN, IMPORT_COLUMN_UNKNOWN).
    """
    source = Path(job["source"])
    encoding = job["encoding"] or _encoding(source, job["filename"])
    if encoding != PARQUET:
        _check_text(source, job["filename"])
    terms = Terms(job["format"], job["mapping"], job["split_column"], in_cells=encoding in (CSV, PARQUET))
    incoming = Incoming(terms)
    shown: list[dict[str, Any]] = []
    sides = Sides()
    with Path(job["rows"]).open("wb") as rows, Path(job["report"]).open("wb") as report:
        for found in incoming.read(_rows(source, encoding)):
            if incoming.rows % TOLD_ROWS == 0:
                Path(job["told"]).write_text(str(incoming.rows))
            if isinstance(found, Problem):
                report.write(_line(vars(found)))
                if len(shown) < SHOWN:
                    shown.append(vars(found))
            else:
                row = fields(*found)
                text = _ENCODER.encode(row)
                id = ids.derived_id("e", text)
                sides.add(id, {**row, "file": ""})
                rows.write(f'{text[:-1]}, "id": "{id}"}}\n'.encode())
    _divide(sides, job if incoming.format != "text" else {**job, "recall_fraction": 0.0})
    return {
        "format": incoming.format,
        "encoding": JSONL if encoding == JSON_LIST else encoding,
        "rows": incoming.rows,
        "good": incoming.good,
        "dropped": dict(incoming.dropped),
        "ignored": sorted(incoming.ignored),
        "problems": shown,
    }


def _divide(sides: Sides, job: dict[str, Any]) -> None:
    """Write job["sides"]: the side of each good row, a line for each."""
    divided = sides.divide(job["eval_fraction"], job["recall_fraction"])
    Path(job["sides"]).write_text("".join(f"{side}\n" for side in divided.values()))


def _rows(source: Path, encoding: str) -> Iterator[decoding.Numbered]:
    if encoding == PARQUET:
        flat = source.with_name("flat")
        with flat.open("wb") as target:
            parquet.read(source, target)
        source = flat
    with source.open("rb") as file:
        first = file.read(64).lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
        file.seek(0)
        if encoding == CSV:
            yield from decoding.comma_separated(file)
        elif encoding == JSON_LIST or (encoding == JSONL and first == b"["):
            yield from decoding.json_list(file)
        else:
            yield from decoding.json_lines(file)


def _check_text(source: Path, filename: str) -> None:
    with source.open("rb") as file:
        other = other_than_text(file.read(ENOUGH))
    if other:
        raise refused(filename, other)


def _encoding(source: Path, filename: str) -> str:
    with source.open("rb") as file:
        first = file.read(64)
    if first.startswith(b"PAR1"):
        return PARQUET
    start = first.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    return _BY_SUFFIX.get(Path(filename).suffix.lower()) or {b"{": JSONL, b"[": JSON_LIST}.get(start, CSV)


def _line(value: dict[str, Any]) -> bytes:
    return (json.dumps(value, ensure_ascii=False) + "\n").encode()


def _too_much(what: str, limit: str) -> Exhausted:
    return Exhausted(
        f"Reading the file took more {what} than the {limit} allowed. Split it.",
        reason="IMPORT_LIMIT",
        metadata={"limit": limit},
    )


def _explained(error: BaseException, limits: Limits) -> FineTuneFlowError:
    # What Python's file says of a full one comes back through the Parquet library as the text of another error.
    numbers = (errno.EFBIG, errno.ENOMEM, errno.ENOSPC, errno.EDQUOT)
    number = next((n for n in numbers if f"[Errno {n}]" in str(error)), None)
    if number == errno.EFBIG:
        return _too_much("output", f"{limits.output_bytes >> 20} MiB")
    if number == errno.ENOMEM:
        return _too_much("memory", f"{limits.memory_bytes >> 20} MiB")
    if number in (errno.ENOSPC, errno.EDQUOT):
        return Exhausted("The disk is full. Free space there, then import the file again.")
    return InvalidArgument(
        f"The file cannot be read ({type(error).__name__}). Check that it is whole, and name its encoding.",
        reason="IMPORT_REFUSED",
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
