"""Each noun has its picture, the states drawn are those of the contract, and every page is found from the start."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from finetuneflow.common.v1 import work_pb2

ROOT = Path(__file__).resolve().parents[3]
DOCS = ROOT / "docs"
CONCEPTS = (DOCS / "concepts.md").read_text(encoding="utf-8")
NOUNS = ("Project", "File", "Chunk", "Dataset", "Model", "Run", "Export", "The ledger", "Provenance")


@pytest.mark.parametrize("noun", NOUNS)
def test_every_noun_has_a_picture(noun: str) -> None:
    """In a form that GitHub and the site draw."""
    (section,) = re.findall(rf"^## {noun}\n(.*?)(?=^## |\Z)", CONCEPTS, re.MULTILINE | re.DOTALL)

    assert re.search(r"^```mermaid\nflowchart [LRTD]+\n", section, re.MULTILINE)


def test_the_states_of_work_are_those_of_the_contract() -> None:
    """Those that one is in for a moment or for long; every arrow joins two of them."""
    (picture,) = re.findall(r"^```mermaid\nstateDiagram-v2\n(.*?)^```", CONCEPTS, re.MULTILINE | re.DOTALL)
    drawn = set(re.findall(r"[A-Z]+", picture))
    names = work_pb2.WorkState.DESCRIPTOR.values_by_name
    states = {name.removeprefix("WORK_STATE_") for name in names} - {"UNSPECIFIED"}

    assert drawn == states


def test_the_start_leads_to_every_page_of_the_site() -> None:
    """By a link of its own, or by a page that it leads to; nothing is in the site's contents that is not there."""
    start = (DOCS / "index.md").read_text(encoding="utf-8")
    contents = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    pages = {path.name for path in DOCS.glob("*.md")} - {"index.md"}
    reached = set(re.findall(r"\]\(([\w-]+\.md)", start))
    for page in sorted(reached):
        reached |= set(re.findall(r"\]\(([\w-]+\.md)", (DOCS / page).read_text(encoding="utf-8")))

    assert pages - reached == set()
    assert [page for page in pages if f" {page}" not in contents and f"[{page}" not in contents] == []
