"""The values that operations.md, kubernetes.md and kubernetes-closed.md show are those of the chart."""

from __future__ import annotations

import pytest
import yaml  # type: ignore[import-untyped]  # Comes with kubernetes, without types.

from tests.unit.deploy.chart import PRODUCTION, Json, render
from tests.unit.docs.pages import DOCS, Block, blocks

pytestmark = pytest.mark.cluster

PAGES = ("cluster.md", "operations.md", "kubernetes.md", "kubernetes-closed.md")
SHOWN = [
    block
    for page in DOCS
    if page.name in PAGES
    for block in blocks(page)
    if block.run_by == "tests/unit/deploy/test_pages.py"
]


@pytest.mark.parametrize("block", SHOWN, ids=lambda block: block.place)
def test_the_chart_takes_the_values_of_a_page_and_makes_something_of_them(block: Block) -> None:
    """Over those of production: the schema knows each, and the objects are others than without."""
    values: Json = yaml.safe_load(block.text)

    assert render(values, PRODUCTION).text != render({}, PRODUCTION).text
