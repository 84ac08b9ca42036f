"""Documents in the form that MongoDB can bear."""

from __future__ import annotations

import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from services.common.documents.bsonform import condition, from_bson, stored, to_bson

KEYS = st.text() | st.text("%.$\0/_aE25") | st.sampled_from(["", "%", "%list", "%int", "%2E", "a.b", "$set"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=30,
)


def names(value: Any) -> list[str]:
    """Return all names in a value."""
    if isinstance(value, list):
        return [name for one in value for name in names(one)]
    if isinstance(value, dict):
        return [*value, *(name for inner in value.values() for name in names(inner))]
    return []


def nested(value: Any) -> bool:
    """Whether a list holds a list directly, or a number has more than 64 bits."""
    if isinstance(value, list):
        return any(isinstance(one, list) or nested(one) for one in value)
    if isinstance(value, dict):
        return any(nested(inner) for inner in value.values())
    return isinstance(value, int) and not -(2**63) <= value < 2**63


@given(JSON)
def test_every_json_value_comes_back_as_it_was(value: Any) -> None:
    """Whatever its names, its lists and the size of its numbers."""
    assert from_bson(to_bson(value)) == value


@given(JSON)
def test_what_is_stored_is_what_every_server_takes(value: Any) -> None:
    """No dot, dollar or NUL in a name, no empty name, no list in a list, no number that is too large."""
    form = to_bson(value)

    assert not [name for name in names(form) if not name or re.search(r"[.$\0]", name)]
    assert not nested(form)


@given(st.dictionaries(st.from_regex(r"[A-Za-z_][A-Za-z0-9_]*", fullmatch=True), st.integers(0, 9)))
def test_names_that_paths_reach_stay_as_they_are(doc: dict[str, int]) -> None:
    """So that conditions and indexes mean the same."""
    assert to_bson(doc) == doc


def test_a_document_is_stored_under_its_id_and_revision() -> None:
    """What comes back is a copy in which JSON has had its way."""
    doc = {"_id": "a", "revision": 7, "x": (1, 2), "labels": {"a/b.c": "v"}}
    kept, returned = stored(doc, 8)

    assert kept == {"_id": "a", "revision": 8, "x": [1, 2], "labels": {"a/b%2Ec": "v"}}
    assert returned == {"_id": "a", "revision": 8, "x": [1, 2], "labels": {"a/b.c": "v"}}


def test_equality_alone_is_written_bare() -> None:
    """The form in which a lookup by _id is fast everywhere."""
    assert condition({"_id": "a", "n": {"$gt": 1, "$lt": 3}, "x": None}) == {
        "_id": "a",
        "n": {"$gt": 1, "$lt": 3},
        "x": None,
    }
