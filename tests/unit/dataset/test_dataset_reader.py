"""The program that reads strangers' files: whatever the file, it ends within its limits and says why."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from services.common.confined.endings import Overrun
from services.common.confined.limits import Limits
from services.common.errors import FineTuneFlowError
from services.dataset import parquet
from services.dataset.importingwork import run_reader

LIMITS = Limits(memory_bytes=1 << 30, cpu_seconds=20, output_bytes=48 << 20, wall_seconds=60)


async def read(folder: Path, data: bytes, filename: str, limits: Limits = LIMITS) -> dict[str, Any]:
    """Read a file in a confined process."""
    (folder / "source").write_bytes(data)
    names = {name: str(folder / name) for name in ("source", "rows", "sides", "report", "told")}
    job = {
        "filename": filename,
        "format": "",
        "encoding": "",
        "mapping": {},
        "split_column": "",
        "eval_fraction": 0.1,
        "recall_fraction": 0.0,
        **names,
    }
    return await run_reader({**job, "limits": asdict(limits)}, folder, limits)


def bomb(folder: Path) -> bytes:
    """Return a Parquet file of some kB that would be 60 MB of rows."""
    (folder / "flat").write_text((json.dumps({"instruction": "A" * 2_000, "output": "B"}) + "\n") * 30_000)
    parquet.write(folder / "flat", folder / "packed", ["instruction", "output"], frozenset())
    return (folder / "packed").read_bytes()


def half(folder: Path) -> bytes:
    """Return the first half of a Parquet file."""
    data = bomb(folder)
    return data[: len(data) // 2]


def bent(folder: Path) -> bytes:
    """Return a Parquet file whose footer is said to be longer than the file."""
    return bomb(folder)[:-8] + b"\xf0\xff\xff\x7fPAR1"


HOSTILE: dict[str, tuple[str, Callable[[Path], bytes], str]] = {
    "a bomb of rows": ("x.parquet", bomb, "IMPORT_LIMIT"),
    "half a file": ("x.parquet", half, "IMPORT_REFUSED"),
    "a bent footer": ("x.parquet", bent, "IMPORT_REFUSED"),
    "no Parquet at all": ("x.parquet", lambda _: b"PAR1" + os.urandom(500) + b"PAR1", "IMPORT_REFUSED"),
    "a quote that is not closed": ("x.csv", lambda _: b'prompt,completion\n"' + b"a\n" * 1_000_000, "IMPORT_REFUSED"),
    "a header of one name twice": ("x.csv", lambda _: b"prompt,prompt\na,b\n", "IMPORT_REFUSED"),
    "a header of many names": ("x.csv", lambda _: b",".join(b"c%d" % n for n in range(5_000)), "IMPORT_REFUSED"),
    "a list that does not end": ("x.json", lambda _: b'[{"prompt": "a", "completion": "b"}', "IMPORT_REFUSED"),
    "a list nested in lists": ("x.json", lambda _: b"[" * 1_000_000, "IMPORT_REFUSED"),
    "an element without an end": ("x.json", lambda _: b'[{"prompt": "' + b"a" * 5_000_000, "IMPORT_REFUSED"),
    "a picture": ("x.jsonl", lambda _: b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "IMPORT_NOT_TEXT"),
    "a workbook": ("x.csv", lambda _: b"PK\x03\x04" + bytes(500), "IMPORT_NOT_TEXT"),
    "UTF-16": ("x.csv", lambda _: "prompt,completion\na,b\n".encode("utf-16"), "IMPORT_NOT_TEXT"),
    "zeros": ("x.bin", lambda _: bytes(1_000_000), "IMPORT_NOT_TEXT"),
    "an archive": ("x.zip", lambda _: b"PK\x03\x04" + os.urandom(1_000), "IMPORT_NOT_TEXT"),
    "many rows": ("x.jsonl", lambda _: b"{}\n" * 200_101, "IMPORT_FORMAT_UNKNOWN"),
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_hostile_file_is_refused_with_a_reason(tmp_path: Path, name: str) -> None:
    """Bombs, halves and nonsense: a typed error, never a hang, and nothing outside the process."""
    filename, make, reason = HOSTILE[name]
    data = make(tmp_path)
    with pytest.raises((FineTuneFlowError, Overrun)) as caught:
        await read(tmp_path, data, filename)

    found = caught.value.reason if isinstance(caught.value, FineTuneFlowError) else "IMPORT_LIMIT"
    assert found == reason


async def test_a_process_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    """Its time is told, and it is gone."""
    with pytest.raises(Overrun, match="time"):
        await read(tmp_path, b"{}\n", "x.jsonl", replace(LIMITS, wall_seconds=0.01))


async def test_a_process_that_wants_more_memory_is_ended(tmp_path: Path) -> None:
    """One line of a CSV may be the whole file; its text does not fit."""
    data = b"prompt,completion\n" + b"a" * (60 << 20)
    with pytest.raises((FineTuneFlowError, Overrun)) as caught:
        await read(tmp_path, data, "x.csv", replace(LIMITS, memory_bytes=110 << 20))

    assert getattr(caught.value, "reason", "IMPORT_LIMIT") == "IMPORT_LIMIT"
