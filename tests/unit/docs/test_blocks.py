"""No block of commands, settings or code stands in README or docs that nobody has tried, unless it says why."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.docs.pages import DOCS, ROOT, WALK, blocks


@pytest.mark.parametrize("page", DOCS, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_block_is_run_or_says_why_not(page: Path) -> None:
    """By the walk through the pages, by the test that its mark names, or not at all, with the reason."""
    found = [block for block in blocks(page) if block.counts]
    silent = [block.place for block in found if not block.run_by and not block.mark.startswith("not run: ")]
    short = [block.place for block in found if block.mark.startswith("not ") and len(block.mark.split()) < 5]

    assert (silent, short) == ([], [])


@pytest.mark.parametrize("page", DOCS, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_test_that_a_mark_names_reads_the_page(page: Path) -> None:
    """It exists, and names the page; the walk through the pages reads all of them."""
    named = {block.run_by for block in blocks(page) if block.run_by} - {WALK}
    missing = [name for name in named if not (ROOT / name).is_file()]
    unread = [name for name in named if page.name not in (ROOT / name).read_text(encoding="utf-8")]

    assert (missing, unread) == ([], [])


def test_most_blocks_are_run() -> None:
    """The tests above look at something, and a mark is no way around them."""
    found = [block for page in DOCS for block in blocks(page) if block.counts]

    assert len([block for block in found if block.run_by]) > len(found) / 2 > 15
