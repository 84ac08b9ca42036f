"""What every store of documents finds: by conditions, in order, as a filter in Python would."""

from __future__ import annotations

import operator
import random
from typing import Any

import pytest

from services.common.documents.port import Collection, Document
from services.common.errors import InvalidArgument
from tests.contract.test_documents import ids


async def test_find_sorts_by_a_path_then_by_id(things: Collection) -> None:
    """Missing and null first, then numbers, then strings; descending turns all of it around."""
    values = {"f": "b", "e": "B", "d": 10, "c": 9.5, "b": None, "g": "b", "h": "é"}
    for id, value in values.items():
        await things.insert({"_id": id, "in": {"order": value}})
    await things.insert({"_id": "a"})
    expected = ["a", "b", "c", "d", "e", "f", "g", "h"]

    assert await ids(things, {}, sort="in.order") == expected
    assert await ids(things, {}, sort="in.order", descending=True) == expected[::-1]
    assert await ids(things, {}, descending=True, limit=2) == ["h", "g"]


async def test_pages_by_a_range_and_a_limit_meet_every_document_once(things: Collection) -> None:
    """The way that lists are paged, over a joined index."""
    for n in range(25):
        await things.insert({"_id": f"x{n}", "parent": "p" if n % 2 else "q", "order": f"{n:03}"})
    seen: list[str] = []
    last = ""
    while page := await things.find({"parent": "p", "order": {"$gt": last}}, sort="order", limit=5):
        seen += [doc["_id"] for doc in page]
        last = page[-1]["order"]

    assert seen == [f"x{n}" for n in range(25) if n % 2]


async def test_none_matches_null_and_missing(things: Collection) -> None:
    """And nothing else: not zero, not false, not an empty string."""
    await things.insert({"_id": "a"})
    for id, value in {"b": None, "c": 0, "d": False, "e": ""}.items():
        await things.insert({"_id": id, "x": value})

    assert await ids(things, {"x": None}) == ["a", "b"]
    assert await ids(things, {"x": {"$ne": None}}) == ["c", "d", "e"]
    assert await ids(things, {"x": {"$in": [None, 0]}}) == ["a", "b", "c"]
    assert await ids(things, {"x": {"$ne": 0}}) == ["a", "b", "d", "e"]


async def test_values_of_different_kinds_are_never_equal(things: Collection) -> None:
    """1 is not True and not "1"; a nested object is not its own text."""
    for id, value in {"a": 1, "b": True, "c": "1", "d": {"k": 1}, "e": '{"k":1}', "f": 1.0, "g": 0, "h": False}.items():
        await things.insert({"_id": id, "x": value})

    assert await ids(things, {"x": 1}) == ["a", "f"]
    assert await ids(things, {"x": True}) == ["b"]
    assert await ids(things, {"x": "1"}) == ["c"]
    assert await ids(things, {"x": '{"k":1}'}) == ["e"]
    assert await ids(things, {"x": {"$in": [False, "1"]}}) == ["c", "h"]
    assert await ids(things, {"x": {"$gte": 0}}) == ["a", "f", "g"]
    assert await ids(things, {"x": {"$gte": ""}}) == ["c", "e"]


async def test_text_is_never_a_pattern_or_a_statement(things: Collection) -> None:
    """Quotes, wildcards and comments are only themselves."""
    nasty = ["'; DROP TABLE c_things; --", 'a"b', "%", "_", "\\", "?1", "x' OR '1'='1"]
    for n, text in enumerate(nasty):
        await things.insert({"_id": f"{n}", "x": text})

    for n, text in enumerate(nasty):
        assert await ids(things, {"x": text}) == [f"{n}"]


NOT_CONDITIONS: list[dict[str, Any]] = [
    {"a b": 1},
    {"a'": 1},
    {"$where": "1"},
    {"": 1},
    {"a..b": 1},
    {"a": {"$like": "x"}},
    {"a": {}},
    {"a": {"$gt": None}},
    {"a": {"$gt": True}},
    {"a": {"$in": "text"}},
    {"a": [1]},
    {"a": float("inf")},
    {"_id": 5},
]


@pytest.mark.parametrize("where", NOT_CONDITIONS, ids=repr)
async def test_what_the_language_does_not_have_is_refused(things: Collection, where: dict[str, Any]) -> None:
    """No path, operator or value goes through unchecked, whatever is stored."""
    with pytest.raises(InvalidArgument):
        await things.find(where)


VALUES = [None, True, False, 0, 1, -1, 2.5, 10, "", "a", "b", "B", "10", "é", "[1]", "{", "true", "null"]


OPERATORS = {"$gt": operator.gt, "$gte": operator.ge, "$lt": operator.lt, "$lte": operator.le}


def kind(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return str(type(value))
    return "text" if isinstance(value, str) else "number"


def at(doc: Document, path: str) -> Any:
    value: Any = doc
    for segment in path.split("."):
        value = value.get(segment) if isinstance(value, dict) else None
    return value


def holds(doc: Document, path: str, sign: str, wanted: Any) -> bool:
    """The where language in Python, to compare with."""
    value = at(doc, path)
    if sign == "$in":
        return any(holds(doc, path, "$eq", one) for one in wanted)
    if sign in ("$eq", "$ne"):
        return (kind(value) == kind(wanted) and value == wanted) is (sign == "$eq")
    if kind(value) != kind(wanted):
        return False
    if isinstance(value, str):
        value, wanted = value.encode(), wanted.encode()
    return bool(OPERATORS[sign](value, wanted))


def condition(dice: random.Random) -> tuple[str, str, Any]:
    path = dice.choice(["state", "work.state", "parent", "order", "a.b.c", "_id"])
    sign = dice.choice(["$eq", "$ne", "$in", *OPERATORS])
    texts = [value for value in VALUES if isinstance(value, str)]
    values = (
        texts
        if path == "_id"
        else [v for v in VALUES if kind(v) in ("text", "number")]
        if sign in OPERATORS
        else VALUES
    )
    return path, sign, dice.sample(values, dice.randrange(4)) if sign == "$in" else dice.choice(values)


async def test_find_and_count_agree_with_a_filter_in_python(things: Collection) -> None:
    """Two hundred random documents, four hundred random questions."""
    dice = random.Random(7)
    docs: list[Document] = []
    for n in range(200):
        doc: Document = {"_id": f"{dice.choice('abB1é')}{n}"}
        for field in ("state", "parent", "order"):
            if dice.random() < 0.8:
                doc[field] = dice.choice(VALUES)
        if dice.random() < 0.8:
            doc |= {
                "work": {"state": dice.choice(VALUES)},
                "a": dice.choice([1, {}, {"b": 2}, {"b": {"c": dice.choice(VALUES)}}]),
            }
        docs.append(await things.insert(doc))
    for _ in range(400):
        asked = {(path, sign): value for path, sign, value in (condition(dice) for _ in range(dice.randrange(1, 4)))}
        where: dict[str, Any] = {}
        for (path, sign), value in asked.items():
            where.setdefault(path, {})[sign] = value
        where = {p: signs.get("$eq") if set(signs) == {"$eq"} else signs for p, signs in where.items()}
        if any("$eq" in signs for signs in where.values() if isinstance(signs, dict)):
            continue  # equality is written bare, so it does not go together with an operator
        expected = sorted(
            (d["_id"] for d in docs if all(holds(d, p, s, v) for (p, s), v in asked.items())), key=str.encode
        )

        assert await ids(things, where) == expected, where
        assert await things.count(where) == len(expected)
