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
    """Those that one is in for a moment or for long; tests/unit/common/test_states.py makes the arrows."""
    (picture,) = re.findall(r"^```mermaid\nstateDiagram-v2\n(.*?)^```", CONCEPTS, re.MULTILINE | re.DOTALL)
    drawn = set(re.findall(r"\b[A-Z]{6,}\b", picture))
    names = work_pb2.WorkState.DESCRIPTOR.values_by_name
    states = {name.removeprefix("WORK_STATE_") for name in names} - {"UNSPECIFIED"}

    assert drawn == states


def test_every_page_is_in_the_contents_of_the_site() -> None:
    """And the contents have none that is not there."""
    contents = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    listed = {page for page in re.findall(r"[\w/-]+\.md", contents) if not page.startswith("reference/")}

    assert listed == {path.name for path in DOCS.glob("*.md")}


@pytest.mark.parametrize("path", ["Try it on a laptop", "Deploy it", "Build on it"])
def test_the_start_has_a_path_for_each_reader(path: str) -> None:
    """The table leads to it, and it leads on to several pages."""
    start = (DOCS / "index.md").read_text(encoding="utf-8")
    sections = dict(re.findall(r"^## (.+)\n((?:(?!^## ).*\n)*)", start, re.MULTILINE))
    sections["Try it on a laptop"] += sections["Your own documents"]

    assert f"](#{path.lower().replace(' ', '-')})" in start
    assert len(re.findall(r"\]\([\w/-]+\.md\)", sections[path])) > 3


def test_the_files_that_a_contributor_is_sent_to_exist() -> None:
    """Files and folders, in the code and in the tests."""
    table = (DOCS / "changing.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:services|protos|clients|tests|deploy|docs|mkdocs)[\w/.-]*)`", table)

    assert [name for name in named if not (ROOT / name).exists()] == []
    assert len(named) > 40
