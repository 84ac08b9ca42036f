"""What docs/operations.md says of parts that die is what tests of faults have tried."""

from __future__ import annotations

import re

from tests.unit.docs.pages import ROOT

PAGE = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
TESTS = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))


def section(heading: str) -> str:
    """Return a section of the page."""
    return PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def test_everything_said_of_a_part_that_dies_was_tried() -> None:
    """Each row of the table names a test that exists."""
    rows = [line for line in section("When a part dies").splitlines() if line.startswith("| ")][1:]

    assert len(rows) > 15
    assert [row for row in rows if not re.search(r"\| `test_\w+`[^|]*\|$", row)] == []


def test_every_test_that_the_page_names_exists() -> None:
    """By its name, or as a file."""
    functions = set(re.findall(r"def (test_\w+)\(", TESTS))
    files = set(re.findall(r"tests/[\w/]+\.py", PAGE))

    assert set(re.findall(r"`(test_\w+)`", PAGE)) - functions == set()
    assert [name for name in files if not (ROOT / name).is_file()] == []
