"""The page of the client in Python: its table of objects has every method that there is."""

from __future__ import annotations

import inspect
import re

import pytest

from finetuneflow_client import resources, sync
from tests.unit.docs.pages import ROOT

PAGE = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
# What the text around the table says of all of them.
SAID_OF_ALL = {"refresh"}
COLLECTIONS = {"projects": "Projects", "models": "Models", "llms": "Llms", "templates": "Templates"}


def rows() -> dict[str, str]:
    """Return what the table says, by the names of the objects."""
    table = PAGE.partition("## What there is\n")[2].partition("\n\n`")[0]
    found = re.findall(r"^\| (`.+?) \| (.+) \|$", table, re.MULTILINE)
    return {name: text for names, text in found for name in re.findall(r"`(\w+)`", names)}


def methods(found: type) -> set[str]:
    """Return the names of a class's public methods."""
    return {name for name, _ in inspect.getmembers(found, inspect.isfunction) if name[0] != "_"} - SAID_OF_ALL


def told(found: type, text: str) -> set[str]:
    """Return the words that a row has of a class, but for its properties."""
    words = set(re.findall(r"`(\w+)(?:\(\w+\))?`", text))
    return {word for word in words if not isinstance(getattr(found, word, None), property)}


@pytest.mark.parametrize("front", [resources, sync])
def test_every_method_of_an_object_is_in_the_table(front: object) -> None:
    """And nothing that it does not have, in the asynchronous client and in the blocking one."""
    table = rows()
    others = {"FineTuneFlow", "Metric", *COLLECTIONS.values()}
    objects = {n: found for n, found in vars(front).items() if inspect.isclass(found) and n not in others}

    assert table.keys() - others == objects.keys()
    assert {n: told(found, table[n]) for n, found in objects.items()} == {n: methods(f) for n, f in objects.items()}


@pytest.mark.parametrize("front", [resources, sync])
def test_every_method_of_a_collection_is_in_the_table(front: object) -> None:
    """Of projects, models, endpoints and templates."""
    named = dict(re.findall(r"`(\w+)` \(([^)]+)\)", rows()["FineTuneFlow"]))

    assert {name: set(re.findall(r"\w+", text)) for name, text in named.items()} == {
        name: methods(getattr(front, found)) for name, found in COLLECTIONS.items()
    }
