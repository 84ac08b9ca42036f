"""The page of the document stores is the code's: collections, indexes, fields."""

from __future__ import annotations

import copy
import re

import pytest

from docs import schema
from tests.fakes.stored import differences


def test_every_collection_and_index_is_on_the_page() -> None:
    """As the services declare them; the page is not written where text and code differ."""
    page = schema.page()
    found = {(one.collection, index) for one in schema.declared() for index in one.indexes}
    sections = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL))
    missing = [(name, index) for name, index in found if f"`{index.replace(',', ', ')}`" not in sections[name]]

    assert missing == []
    assert {"files", "examples", "runs", "reports"} <= {name for name, _ in found}
    assert len(found) > 40


@pytest.mark.parametrize("field", ["gone", "path"])
def test_a_field_that_is_missing_on_either_side_is_named(field: str) -> None:
    """Whoever adds a field to the code, or takes one away, is told which."""
    said = copy.deepcopy(schema.described())
    if said["files"]["fields"].pop(field, None) is None:
        said["files"]["fields"][field] = ["text", "?"]

    with pytest.raises(schema.Differs, match=rf"files\.{field} is (not described|in no code)"):
        schema.check(said, schema.declared())


def test_documents_are_compared_with_types_too() -> None:
    """What a whole flow leaves behind is looked at with this."""
    wrong = set(differences(schema.described(), "files", {"path": 1, "language": None, "text": None, "other": ""}))

    assert wrong == {"files.path is a int", "files.language is null", "files.other is not described"}
