"""Any rows, out as a file and in again: nothing is changed, nothing is lost, and every row is counted."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.dataset.core.formats.catalog import FORMATS
from services.dataset.core.formats.incoming import DUPLICATE
from services.dataset.core.formats.record import Record
from services.dataset.core.ledger import imported
from services.dataset.exporting import ENCODINGS, Wish, build
from services.dataset.importingwork import balances
from tests.unit.dataset.test_dataset_formats import reading, records, said, told

FEW = settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
SIDES = st.sampled_from(["TRAIN", "EVAL", "RECALL"])
# What a format itself cannot say is in the documentation of formats; the records drawn here say nothing of it: ids of
# tool calls that are not call_1, call_2, … (sharegpt), answers of several messages (alpaca, sharegpt, messages).


def alike(record: Record) -> str:
    """What makes two rows doubles."""
    return json.dumps(told(record), sort_keys=True)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("format", FORMATS)
@FEW
@given(data=st.data())
def test_any_rows_come_in_as_they_went_out(tmp_path: Path, format: str, encoding: str, data: st.DataObject) -> None:
    """Through the program that reads strangers' files, with their sides, in their order."""
    drawn = data.draw(
        st.lists(st.tuples(records(format), SIDES), min_size=1, max_size=4, unique_by=lambda p: alike(p[0]))
    )
    made = [replace(record, split=side, id=f"e{n}") for n, (record, side) in enumerate(drawn)]
    exported = build(lambda: made, tmp_path, Wish(format, encoding, with_source=True))

    found, rows = reading(tmp_path, exported.path.read_bytes(), f"x.{encoding}", split_column="split")

    assert found["dropped"] == {}
    assert found["format"] == format
    assert [said(row) for row in rows] == [{**told(record), "split": record.split} for record in made]


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.sampled_from(["good", "a", "a", '"', "1", '{"prompt": ""}', '{"prompt": "x"}']), min_size=1))
def test_every_row_is_either_taken_or_told_with_its_reason(tmp_path: Path, kinds: list[str]) -> None:
    """The counts, the report and the ledger made of them have the same sums; in = out + dropped at each step."""
    good = {"good": lambda n: f"q{n}", "a": lambda n: "a"}
    lines = [json.dumps({"prompt": good[k](n), "completion": "c"}) if k in good else k for n, k in enumerate(kinds)]

    found, rows = reading(tmp_path, "\n".join(lines).encode(), format="prompt-completion")

    told_of = [json.loads(line) for line in (tmp_path / "report").read_bytes().splitlines()]
    steps = imported(balances(found), {}, Counter({"SPLIT_TRAIN": len(rows)}))
    assert found["rows"] == len(kinds) == len(rows) + len(told_of)
    assert Counter(one["reason"] for one in told_of) == found["dropped"]
    assert found["dropped"].get(DUPLICATE, 0) == max(0, kinds.count("a") - 1)
    assert all(step.came == step.went + sum(step.dropped().values()) for step in steps)
    assert [step.went for step in steps[:-1]] == [step.came for step in steps[1:]]
    assert (steps[0].came, steps[-1].went) == (len(kinds), found["good"])
