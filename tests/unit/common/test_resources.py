"""Resources: names, request ids, etags, tombstones, paging, events in the same write."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.common.documents.port import Document
from services.common.documents.sqlite import SqliteDocuments
from services.common.errors import AlreadyExists, Conflict, InvalidArgument, NotFound
from services.common.resources import INDEXES, Resources
from tests.fakes.clock import FakeClock


@pytest.fixture
async def things(tmp_path: Path) -> AsyncIterator[Resources]:
    documents = SqliteDocuments(tmp_path / "things.db")
    yield Resources(documents.collection("things", INDEXES), "thing", FakeClock())
    await documents.close()


async def test_the_same_request_id_returns_the_first_answer(things: Resources) -> None:
    """A client that lost the answer may repeat the call."""
    first = await things.create("things/a", {}, request_id="r1", body=b"one")
    again = await things.create("things/a", {}, request_id="r1", body=b"one")

    assert again["uid"] == first["uid"]


async def test_a_request_id_with_another_body_is_refused(things: Resources) -> None:
    """It would be a mistake of the client's that must not pass unseen (AIP-155)."""
    await things.create("things/a", {}, request_id="r1", body=b"one")

    with pytest.raises(InvalidArgument) as caught:
        await things.create("things/a", {}, request_id="r1", body=b"two")

    assert caught.value.reason == "REQUEST_ID_REUSED"


async def test_a_request_that_was_answered_and_deleted_since_is_refused(things: Resources) -> None:
    """The tombstone is not handed out as if it were alive."""
    await things.create("things/a", {}, request_id="r1", body=b"one")
    await things.delete("things/a")

    with pytest.raises(AlreadyExists):
        await things.create("things/a", {}, request_id="r1", body=b"one")


async def test_a_taken_name_is_refused(things: Resources) -> None:
    """Without a request id a second create of a name is another resource."""
    await things.create("things/a", {})

    with pytest.raises(AlreadyExists):
        await things.create("things/a", {})


async def test_an_old_etag_is_refused_and_changes_nothing(things: Resources) -> None:
    """Whoever changes from an old reading is told to read again."""
    old = await things.create("things/a", {})
    await things.change("things/a", lambda d: d.update(display_name="x"), user=True)

    with pytest.raises(Conflict) as caught:
        await things.change("things/a", lambda d: d.update(display_name="y"), etag=old["etag"], user=True)

    assert caught.value.reason == "ETAG_MISMATCH"
    assert (await things.get("things/a"))["display_name"] == "x"


async def test_changes_that_race_all_happen(things: Resources) -> None:
    """A lost compare-and-set reads again and repeats."""
    await things.create("things/a", {"count": 0})

    def add(doc: Document) -> None:
        doc["count"] += 1

    await asyncio.gather(*(things.change("things/a", add) for _ in range(20)))

    assert (await things.get("things/a"))["count"] == 20


async def test_a_deleted_resource_is_gone_for_readers_until_it_is_purged(things: Resources) -> None:
    """A tombstone keeps the event; Get and List do not see it, and a second delete finds nothing."""
    await things.create("things/a", {}, event="thing.made")
    buried = await things.delete("things/a", event="thing.deleted")

    assert [e["type"] for e in buried["outbox"]] == ["thing.made", "thing.deleted"]
    with pytest.raises(NotFound):
        await things.get("things/a")
    with pytest.raises(NotFound):
        await things.delete("things/a")
    assert await things.page({}, 10, "") == ([], "")


async def test_the_name_of_what_was_just_deleted_is_waited_for(things: Resources) -> None:
    """Deleting and making again is one thing after the other for whoever calls; the purge comes a moment later."""
    first = await things.create("things/a", {}, request_id="r1")
    await things.delete("things/a")
    making = asyncio.create_task(things.create("things/a", {}, request_id="r2"))
    await asyncio.sleep(0)
    await things.purge("things/a")
    second = await making

    assert second["uid"] != first["uid"]


async def test_pages_hold_everything_once_in_order_of_creation(things: Resources) -> None:
    """What is added while paging comes later and disturbs nothing."""
    for number in range(5):
        await things.create(f"things/t{number}", {})
    seen, token = [], ""
    while True:
        docs, token = await things.page({}, 2, token)
        seen += [d["_id"] for d in docs]
        if not token:
            break

    assert seen == [f"things/t{n}" for n in range(5)]


async def test_a_page_token_of_another_list_is_refused(things: Resources) -> None:
    """Tokens belong to their list's conditions."""
    for number in range(3):
        await things.create(f"things/t{number}", {"parent": "p"})
    _, token = await things.page({"parent": "p"}, 1, "")

    with pytest.raises(InvalidArgument):
        await things.page({"parent": "q"}, 1, token)
    with pytest.raises(InvalidArgument):
        await things.page({"parent": "p"}, 1, "nonsense")
    with pytest.raises(InvalidArgument):
        await things.page({"parent": "p"}, 1001, "")
