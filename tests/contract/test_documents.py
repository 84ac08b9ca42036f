"""What every document store promises."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from services.common.documents.port import MAX_BYTES, Collection, Document, Documents
from services.common.errors import AlreadyExists, Conflict, InvalidArgument, Unavailable


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
