"""What `ftf` prints as text or JSON, beside what it draws."""

from __future__ import annotations

import json

from finetuneflow.common.v1 import worker_service_pb2
from finetuneflow.dataset.v1 import dataset_pb2
from finetuneflow_client.cli.output import aligned, breadth, clipped, to_json


def test_maps_are_written_by_key() -> None:
    """So that the same answer is the same text; fields keep the order of the contract, also within lists and maps."""
    names = [f"k{n}" for n in range(30)]
    points = [
        worker_service_pb2.MetricPoint(step=1, values=dict.fromkeys(order, 1.0)) for order in (names, names[::-1])
    ]
    texts = {json.dumps(to_json(worker_service_pb2.Report(seq=1, metrics=point))) for point in points}
    found = to_json(dataset_pb2.Dataset(name="d", flags={"b": 1, "a": 2}))

    assert len(texts) == 1
    assert list(found["flags"]) == ["a", "b"]
    assert next(iter(found)) == "name"


def test_columns_line_up_with_wide_and_combining_characters() -> None:
    """Chinese takes two columns, a combining accent none."""
    lines = aligned([("NAME", "N"), ("手册.pdf", "1"), ("e\u0301.md", "2"), ("two\nlines", "3")])

    assert {breadth(line[: line.rindex(" ")]) for line in lines} == {breadth("two lines") + 1}
    assert clipped("手册手册", 5) == "手册…"
    assert clipped("abc", 3) == "abc"
