"""Lengths in tokens: percentiles, classes, truncation; and charts that are pictures."""

from __future__ import annotations

import io
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from services.dataset import charts
from services.dataset.core.lengths import CLASSES, histogram, lengths, named, text

counts = st.lists(st.integers(0, 20_000), max_size=60)


@given(counts, st.integers(1, 20_000))
def test_lengths_add_up(found: list[int], max_length: int) -> None:
    """Percentiles rise and are lengths that occur; as many are truncated as are longer."""
    said = lengths("m", found, max_length)
    percentiles = [p["tokens"] for p in said["percentiles"]]

    assert percentiles == sorted(percentiles)
    assert set(percentiles) <= set(found or [0])
    assert said["total"] == sum(found)
    assert said["truncated"] == sum(n > max_length for n in found)
    assert said["truncated_share"] == (said["truncated"] / len(found) if found else 0)
    assert lengths("m", found, 0)["truncated"] == 0


@given(counts)
def test_every_length_is_in_one_class(found: list[int]) -> None:
    """Classes of one width without a gap, twenty at most."""
    classes = histogram(found)

    assert len(classes) <= CLASSES
    assert all(c["count"] == sum(c["from"] <= n < c["to"] for n in found) for c in classes)
    assert sum(c["count"] for c in classes) == len(found)
    assert all(a["to"] == b["from"] for a, b in pairwise(classes))


def test_percentiles_are_by_nearest_rank() -> None:
    """Of 1 to 100, the 95th is 95; of one value, that."""
    hundred = lengths("m", list(range(1, 101)), 90)

    assert [p["tokens"] for p in hundred["percentiles"]] == [5, 25, 50, 75, 95, 99]
    assert (hundred["truncated"], hundred["truncated_share"]) == (10, 0.1)
    assert [p["tokens"] for p in lengths("m", [7], 0)["percentiles"]] == [7] * 6


def test_all_that_a_model_reads_is_counted() -> None:
    """System prompt, conversation, reasoning; prompt and response where there is no conversation."""
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]

    assert text({"prompt": "p", "response": "r"}, "s") == "s\np\nr"
    assert text({"prompt": "p", "response": "r", "messages": turns, "reasoning": "why"}, "") == "why\na\nb"
    assert named({"y": 1, "x": 2}) == [{"name": "x", "count": 2}, {"name": "y", "count": 1}]


def test_charts_are_pictures_of_any_data() -> None:
    """Long names, no rows, one class: never an error."""
    pictures = [
        charts.bars("Title", [("name " * 40, (3, 2), "behind " * 40), ("é", (0, 0), "")], ("one", "two")),
        charts.bars("Title", []),
        charts.columns("Title", [(10, 20, 3)], "tokens", 15),
        charts.columns("Title", [], "tokens"),
    ]

    for data in pictures:
        with Image.open(io.BytesIO(data)) as image:
            assert image.format == "PNG"
            assert len(image.convert("RGB").getcolors(maxcolors=1_000_000) or ()) > 2
