"""The comparison says nothing without a source: a number for others, a page of our own for us."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = (Path(__file__).resolve().parents[3] / "docs/comparison.md").read_text(encoding="utf-8")
TABLE = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE[PAGE.index("## Side by side") : PAGE.index("## What they do better")].splitlines()
    if line.startswith("|")
]


def test_every_claim_has_its_source() -> None:
    """What others do has a number, unless it was not found or is what they are for; what we do has a link."""
    rows = TABLE[2:]
    unsourced = [
        (row[0], cell) for row in rows for cell in row[1:-1] if not re.search(r"\[\d+\]|^not found$|its purpose", cell)
    ]
    unlinked = [row[0] for row in rows if "](" not in row[-1] and not row[-1].startswith("no")]

    assert (unsourced, unlinked) == ([], [])
    assert len(rows) > 12
    assert {len(row) for row in rows} == {7}


def test_every_number_is_a_source_with_an_address_and_a_date() -> None:
    """And each source is used."""
    claims, sources = PAGE.split("## Sources")
    numbers = {int(number) for number in re.findall(r"\[(\d+)\]", claims)}
    listed = dict(re.findall(r"^(\d+)\. (.*(?:\n   .*)*)", sources, re.MULTILINE))

    assert {int(number) for number in listed} == numbers
    assert all("https://" in text for text in listed.values())
    assert re.search(r"Read on \d+ \w+ 20\d\d", sources)
