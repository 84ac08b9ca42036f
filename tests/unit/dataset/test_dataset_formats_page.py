"""The page about formats tells the truth: each row on it can be imported, and comes out as it says."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pytest

from services.dataset.core import frozen
from services.dataset.core.formats import decoding, frozenrow
from services.dataset.core.formats.catalog import FORMATS
from services.dataset.core.formats.incoming import Incoming, Problem, Terms
from services.dataset.core.formats.table import Table, comma_separated

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "dataset-formats.md").read_text(encoding="utf-8")
(FROZEN,) = re.findall(r"```json\n(.*?)\n```", PAGE, re.DOTALL)
(CSV,) = re.findall(r"```csv\n(.*?)```", PAGE, re.DOTALL)
BLOCKS = dict(re.findall(r"```json (\S+)\n(.*?)```", PAGE, re.DOTALL))


def test_every_format_has_an_example() -> None:
    """None is only named."""
    assert set(BLOCKS) == set(FORMATS)


@pytest.mark.parametrize("format", FORMATS)
def test_an_example_goes_in_and_out_as_it_is_shown(format: str) -> None:
    """The first row is told by its columns; the last is how it comes out."""
    rows = [json.loads(line) for line in BLOCKS[format].splitlines()]
    incoming = Incoming(Terms())
    (found,) = incoming.read(iter([(1, rows[0])]))

    assert not isinstance(found, Problem), found
    assert incoming.format == format
    assert FORMATS[format].write(found[1]) == rows[-1]


def test_the_frozen_line_is_what_an_example_becomes() -> None:
    """Byte for byte, from the example's own fields."""
    row = json.loads(FROZEN)
    prompt, response = (message["content"] for message in row["messages"])
    example = {
        **row["source"],
        **{name: row[name] for name in ("task_type", "language")},
        "_id": row["id"],
        "split": f"SPLIT_{row['split']}",
        "prompt": prompt,
        "response": response,
    }

    assert frozen.line(example, "") == FROZEN


def test_the_frozen_line_goes_out_as_the_cells_that_are_shown() -> None:
    """And what went out comes in again as the same row, told by its columns."""
    record = frozenrow.record(json.loads(FROZEN))
    table = Table("alpaca", with_source=True)
    table.measure([record])
    rows = decoding.comma_separated(io.BytesIO(CSV.encode()))
    (found,) = Incoming(Terms(in_cells=True)).read(rows)

    assert b"".join(comma_separated(table.columns, table.full([record]))).decode() == CSV
    assert not isinstance(found, Problem), found
    assert FORMATS["alpaca"].write(found[1]) == FORMATS["alpaca"].write(record)


def test_the_reasons_on_the_page_are_those_of_the_code() -> None:
    """Each reason that reading or writing can give stands there."""
    folder = Path(__file__).resolve().parents[3] / "services" / "dataset" / "core" / "formats"
    source = "\n".join(path.read_text(encoding="utf-8") for path in folder.glob("*.py"))
    given = set(re.findall(r'Refused\(\s*"([A-Z_0-9]+)"', source)) | {"BAD_TOOLS", "BAD_TOOL_CALL", "DUPLICATE"}

    assert {reason for reason in given if f"`{reason}`" not in PAGE} <= {"OTHER_SPLIT"}
