"""What every document store promises."""

from __future__ import annotations

import asyncio
import operator
import random
from typing import Any

import pytest

from services.common.documents.port import MAX_BYTES, Collection, Document, Documents
from services.common.errors import AlreadyExists, Conflict, InvalidArgument, Unavailable


@pytest.fixture
def things(documents: Documents) -> Collection:
    """An empty collection with simple, nested and joined indexes."""
    return documents.collection("things", ["state", "work.state", "parent,order"])


async def ids(things: Collection, where: dict[str, Any], **options: Any) -> list[str]:
    return [doc["_id"] for doc in await things.find(where, **options)]


async def test_an_inserted_document_comes_back_whole_with_revision_1(things: Collection) -> None:
    """Nested values, every kind of scalar and any text survive; a revision that was brought along does not count."""
    doc = {
        "_id": "a/ü",
        "text": "tab\t nul\0 😀",
        "list": [1, 2.5, None, {"b": True}],
        "labels": {"k.x/y": "v", "$k": ""},
    }

    inserted = await things.insert({**doc, "revision": 41})

    assert inserted == {**doc, "revision": 1}
    assert await things.get("a/ü") == {**doc, "revision": 1}


async def test_an_id_is_taken_once(things: Collection) -> None:
    """The first document stays as it was; another collection may use the id."""
    await things.insert({"_id": "a", "n": 1})

    with pytest.raises(AlreadyExists):
        await things.insert({"_id": "a", "n": 2})
    assert (await things.get("a") or {})["n"] == 1


async def test_collections_are_apart(documents: Documents) -> None:
    """The same id in two collections is two documents."""
    one, two = documents.collection("one"), documents.collection("two")
    await one.insert({"_id": "a"})

    assert await two.get("a") is None
    assert await two.count({}) == 0


async def test_of_many_inserts_of_one_id_one_succeeds(things: Collection) -> None:
    """Uniqueness holds under concurrency, also within what is committed together."""
    results = await asyncio.gather(*(things.insert({"_id": "a", "n": n}) for n in range(20)), return_exceptions=True)

    winners = [r for r in results if isinstance(r, dict)]

    assert len(winners) == 1
    assert sum(isinstance(r, AlreadyExists) for r in results) == 19
    assert await things.get("a") == winners[0]


async def test_a_replace_moves_the_revision(things: Collection) -> None:
    """What is returned can be changed and replaced again."""
    doc = await things.insert({"_id": "a", "n": 1})

    second = await things.replace({**doc, "n": 2})
    third = await things.replace({**second, "n": 3})

    assert third == {"_id": "a", "revision": 3, "n": 3}
    assert await things.get("a") == third


async def test_of_two_replaces_of_one_revision_one_meets_a_conflict(things: Collection) -> None:
    """Nobody's change is overwritten by one who has not seen it."""
    doc = await things.insert({"_id": "a", "n": 0})

    results = await asyncio.gather(
        things.replace({**doc, "n": 1}), things.replace({**doc, "n": 2}), return_exceptions=True
    )

    (winner,) = [r for r in results if isinstance(r, dict)]
    assert sum(isinstance(r, Conflict) for r in results) == 1
    assert await things.get("a") == winner


async def test_what_is_gone_cannot_be_replaced(things: Collection) -> None:
    """A replace never brings a deleted document back."""
    doc = await things.insert({"_id": "a"})
    await things.delete("a")

    with pytest.raises(Conflict):
        await things.replace(doc)
    assert await things.get("a") is None


async def test_a_hundred_racing_increments_are_all_counted(things: Collection) -> None:
    """Compare-and-set with a retry is enough for a counter."""
    await things.insert({"_id": "a", "n": 0})

    async def increment() -> None:
        while True:
            doc = await things.get("a")
            assert doc is not None
            try:
                await things.replace({**doc, "n": doc["n"] + 1})
                return
            except Conflict:
                continue

    await asyncio.gather(*(increment() for _ in range(100)))

    assert await things.get("a") == {"_id": "a", "revision": 101, "n": 100}


async def test_delete_says_whether_it_was_there(things: Collection) -> None:
    """Repeating it does no harm."""
    await things.insert({"_id": "a"})

    assert await things.delete("a") is True
    assert await things.delete("a") is False


async def test_delete_at_a_revision_spares_a_newer_one(things: Collection) -> None:
    """A document that somebody changed meanwhile stays."""
    doc = await things.insert({"_id": "a"})
    await things.replace(doc)

    with pytest.raises(Conflict):
        await things.delete("a", revision=1)
    assert await things.delete("a", revision=2) is True


async def test_what_is_returned_is_a_copy(things: Collection) -> None:
    """Neither the document that was handed in nor the one that came back is what is stored."""
    doc: Document = {"_id": "a", "list": [1]}
    inserted = await things.insert(doc)
    doc["list"].append(2)
    inserted["list"].append(3)

    assert (await things.get("a") or {})["list"] == [1]


NOT_DOCUMENTS: list[Document] = [
    {},
    {"_id": ""},
    {"_id": 5},
    {"_id": "a", "x": float("nan")},
    {"_id": "a", "x": b"b"},
    {"_id": "a", "x": {1, 2}},
    {"_id": "a", "x": "\ud800"},
]


@pytest.mark.parametrize("doc", NOT_DOCUMENTS, ids=repr)
async def test_what_is_not_a_document_is_refused(things: Collection, doc: Document) -> None:
    """No id, or a value that JSON does not have."""
    with pytest.raises(InvalidArgument):
        await things.insert(doc)


async def test_a_document_over_one_mebibyte_is_refused(things: Collection) -> None:
    """The limit counts bytes of UTF-8, not characters, and holds for replaces too."""
    fits = await things.insert({"_id": "a", "x": "ü" * (MAX_BYTES // 2 - 100)})

    with pytest.raises(InvalidArgument, match="limit"):
        await things.replace({**fits, "x": "ü" * (MAX_BYTES // 2)})


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


async def test_a_bad_sort_or_name_is_refused(documents: Documents, things: Collection) -> None:
    """Names become part of statements, so they are checked."""
    with pytest.raises(InvalidArgument):
        await things.find({}, sort="a desc; --")
    with pytest.raises(InvalidArgument):
        documents.collection('x"; --')


async def test_an_index_may_be_added_later(documents: Documents) -> None:
    """A new version of a service asks for more; what is stored already is found through it."""
    await documents.collection("old").insert({"_id": "a", "x": {"y": 1}})

    assert await ids(documents.collection("old", ["x.y"]), {"x.y": 1}) == ["a"]


async def test_a_closed_store_is_unavailable(documents: Documents, things: Collection) -> None:
    """Closing waits for what was asked before; closing again does nothing."""
    pending = asyncio.create_task(things.insert({"_id": "a"}))
    await pending
    await documents.close()
    await documents.close()

    with pytest.raises(Unavailable):
        await things.get("a")


async def test_cancelled_writes_leave_a_store_that_works(things: Collection) -> None:
    """Whether a cancelled insert happened is open; everything after it is as ever."""
    tasks = [asyncio.create_task(things.insert({"_id": f"{n}"})) for n in range(50)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

    assert await things.insert({"_id": "after"}) == {"_id": "after", "revision": 1}
    assert {f"{n}" for n in range(1, 50, 2)} <= set(await ids(things, {}))


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


async def test_a_store_in_order_passes_its_check(documents: Documents) -> None:
    """Its clock is this machine's."""
    assert abs(await documents.check()) < 2


async def test_many_inserts_store_what_is_not_there(things: Collection) -> None:
    """What is there stays as it is; a repeat stores nothing; one that is no document stores none."""
    await things.insert({"_id": "b", "n": 0})

    first = await things.insert_many([{"_id": name, "n": 1, "revision": 7} for name in "abc"])
    again = await things.insert_many([{"_id": name, "n": 2} for name in "cba"])
    with pytest.raises(InvalidArgument):
        await things.insert_many([{"_id": "d"}, {"_id": ""}])

    assert (first, again, await things.insert_many([])) == (2, 0, 0)
    assert [(d["_id"], d["revision"], d["n"]) for d in await things.find({})] == [("a", 1, 1), ("b", 1, 0), ("c", 1, 1)]


async def test_many_replaces_leave_what_was_changed_since(things: Collection) -> None:
    """Those that are replaced come back with the next revision, in order; the others are missing and as they were."""
    docs = [await things.insert({"_id": name, "n": 0}) for name in "abc"]
    await things.replace({**docs[1], "n": 5})
    await things.delete("c")

    stored = await things.replace_many([{**doc, "n": 1} for doc in reversed(docs)])

    assert stored == [{"_id": "a", "revision": 2, "n": 1}]
    assert await things.find({}) == [{"_id": "a", "revision": 2, "n": 1}, {"_id": "b", "revision": 2, "n": 5}]
    assert [d["revision"] for d in await things.replace_many(await things.find({}))] == [3, 3]
    assert await things.replace_many([]) == []


async def test_many_deletes_count_what_was_there(things: Collection) -> None:
    """At any revision; a repeat removes nothing."""
    await things.insert_many([{"_id": name} for name in "abc"])

    assert await things.delete_many(["a", "c", "x"]) == 2
    assert await things.delete_many(["a", "c"]) == await things.delete_many([]) == 0
    assert await ids(things, {}) == ["b"]
