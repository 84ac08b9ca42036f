"""Datasets in and out beside bare loops: python -m tests.bench.transfers [--rows N]

The same made-up rows go into a real dataset service as JSON Lines, CSV and Parquet, and come out as each; beside it
stands a bare loop of json, csv or pyarrow that reads such a file and writes it again, without checks, store, split or
hash. Printed: rows a second by the clock and by processor time (the service with its reader), and the memory that the
service and its reader took at most. Ends in about a minute with the defaults.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import io
import json
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from tests.fakes.datasets import dataset_service, state
from tests.fakes.transfers import exported, imported, lines

Row = dict[str, Any]
WHO = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)


def made_up(count: int) -> list[Row]:
    """Return rows of about 200 bytes that no two are near."""
    return [
        {
            "prompt": f"What is the number of thing {n} in the list of {n * 7919 % 100_003} things?",
            "completion": f"It is {n * 31} and {n % 977}, as the table of part {n % 13} says.",
        }
        for n in range(count)
    ]


def cells(rows: list[Row]) -> bytes:
    """Return rows as CSV."""
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()


def columns(rows: list[Row]) -> bytes:
    """Return rows as Parquet."""
    out = io.BytesIO()
    parquet.write_table(pa.Table.from_pylist(rows), out, compression="zstd")
    return out.getvalue()


READ: dict[str, Callable[[bytes], list[Row]]] = {
    "jsonl": lambda data: [json.loads(line) for line in data.splitlines()],
    "csv": lambda data: list(csv.DictReader(io.StringIO(data.decode()))),
    "parquet": lambda data: parquet.read_table(io.BytesIO(data)).to_pylist(),
}
WRITE: dict[str, Callable[[list[Row]], bytes]] = {"jsonl": lines, "csv": cells, "parquet": columns}


def used() -> tuple[float, float]:
    """Return seconds by the clock, and of processor time here and in children that have ended."""
    return time.perf_counter(), sum(sum(resource.getrusage(who)[:2]) for who in WHO)


def told(what: str, count: int, before: tuple[float, float]) -> None:
    """Print how fast something was."""
    seconds, busy = (now - then for now, then in zip(used(), before, strict=True))
    print(f"{what:24} {count / seconds:10,.0f} rows/s  {count / busy:10,.0f} rows/s of processor time")


async def measure(count: int) -> None:
    """Send rows in and fetch them, in each encoding."""
    rows = made_up(count)
    with tempfile.TemporaryDirectory() as folder:
        async with dataset_service(Path(folder)) as (stub, _):
            for encoding, write in WRITE.items():
                data = write(rows)
                before = used()
                dataset = await imported(stub, data, encoding, filename=f"rows.{encoding}")
                told(f"in, {encoding}", count, before)
                if state(dataset) != "SUCCEEDED":
                    raise SystemExit(dataset.work.error.message)
                before = used()
                await exported(stub, encoding, "prompt-completion", encoding)
                told(f"out, {encoding}", count, before)
                before = used()
                write(READ[encoding](data))
                told(f"bare loop, {encoding}", count, before)
    service, reader = (resource.getrusage(who).ru_maxrss / 1024 for who in WHO)
    print(f"at most {service:,.0f} MB in this process, which holds the rows too, and {reader:,.0f} MB in a child")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=20_000, help="rows of a file (%(default)s)")
    asyncio.run(measure(parser.parse_args().rows))


if __name__ == "__main__":
    main()
