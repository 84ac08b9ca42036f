"""Whatever stands on pages, and wherever: every word of it is in the text once, and on its page."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from services.ingest.core.layout.assemble import assemble
from services.ingest.core.layout.page import Page, Rule, Run

SIZES = st.sampled_from([6.0, 9.0, 10.0, 10.4, 11.0, 14.0, 30.0])
WORDS = st.sampled_from(
    ["pump", "The", "valve.", "1.", "2.1", "3", "\u2022", "-", "well-", "known", "Page 3", "x" * 60, "# a", "|"]
)


@st.composite
def runs(draw: st.DrawFn) -> Run:
    """A run somewhere on a page, often in line with others."""
    text = " ".join(draw(st.lists(WORDS, min_size=1, max_size=8)))
    size = draw(SIZES)
    x0 = draw(st.sampled_from([50.0, 72.0, 80.0, 300.0, 310.0, 500.0]) | st.floats(0, 590))
    y0 = draw(st.integers(0, 60).map(lambda n: 14.0 * n) | st.floats(0, 830))
    bold, mono = draw(st.booleans()), draw(st.sampled_from([False, False, True]))
    return Run(text, x0, y0, x0 + 0.5 * size * len(text), y0 + 1.2 * size, size, bold, mono)


@st.composite
def rules(draw: st.DrawFn) -> Rule:
    """A drawn line, horizontal or vertical."""
    x, y = draw(st.sampled_from([50.0, 200.0, 400.0])), draw(st.sampled_from([100.0, 200.0, 300.0, 400.0]))
    length = draw(st.sampled_from([5.0, 150.0, 350.0]))
    return Rule(x, y, x + length, y) if draw(st.booleans()) else Rule(x, y, x, y + length)


PAGES = st.lists(
    st.tuples(st.lists(runs(), max_size=25), st.lists(rules(), max_size=14), st.lists(WORDS, max_size=2)), max_size=5
)


def letters(texts: list[str]) -> Counter[str]:
    """Count letters and digits: marks of lists, tables and headings come and go."""
    return Counter(c for text in texts for c in text if c.isalnum())


@settings(deadline=None, max_examples=60)
@given(PAGES)
def test_nothing_on_a_page_is_lost_or_doubled(found: list[tuple[list[Run], list[Rule], list[str]]]) -> None:
    """Every letter and digit is in the text as often as on the pages, under the page that it stood on."""
    pages = [Page(n, 595, 842, page[0], page[1], page[2]) for n, page in enumerate(found, start=1)]

    document = assemble(pages)

    on_pages: dict[int, list[str]] = {page.number: [] for page in pages}
    for span in document.pages:
        on_pages[span.page].append(document.text[span.start : span.end])
    for page in pages:
        assert letters(on_pages[page.number]) == letters([run.text for run in page.runs] + list(page.turned))
    outside = letters([document.text]) - letters([text for texts in on_pages.values() for text in texts])
    assert not outside


@settings(deadline=None, max_examples=40)
@given(PAGES)
def test_blocks_and_removed_parts_hold_all_that_is_visible(
    found: list[tuple[list[Run], list[Rule], list[str]]],
) -> None:
    """Blocks are in order and apart; what is outside them is white space or removed."""
    document = assemble([Page(n, 595, 842, page[0], page[1], page[2]) for n, page in enumerate(found, start=1)])

    held = [i for block in document.blocks for i in range(block.start, block.end)]
    removed = {i for part in document.removed for i in range(part.start, part.end)}
    inside = set(held) | removed
    assert held == sorted(set(held))
    assert all(c.isspace() for i, c in enumerate(document.text) if i not in inside)
