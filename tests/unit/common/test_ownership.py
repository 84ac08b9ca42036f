"""One installation launches Jobs for the runs of a document store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.common.documents.port import Documents
from services.common.documents.sqlite import SqliteDocuments
from services.common.errors import NotReady
from services.common.ownership import COLLECTION, JOBS, claim


@pytest.fixture
async def documents(tmp_path: Path) -> AsyncIterator[Documents]:
    store = SqliteDocuments(tmp_path / "documents.db")
    yield store
    await store.close()


async def _owner(documents: Documents) -> str:
    mark = await documents.collection(COLLECTION).get(JOBS)
    assert mark is not None
    return str(mark["owner"])


async def test_replicas_and_upgrades_of_one_release_agree(documents: Documents) -> None:
    """Each of them claims what is its own already, some at once."""
    await asyncio.gather(*(claim(documents, "team-a/finetuneflow") for _ in range(4)))
    await claim(documents, "team-a/finetuneflow")

    assert await _owner(documents) == "team-a/finetuneflow"


async def test_a_second_installation_is_refused_with_the_first_ones_name_and_the_remedy(documents: Documents) -> None:
    """By its namespace or by its release; what is there stays the first one's."""
    await claim(documents, "team-a/finetuneflow")
    for other in ("team-b/finetuneflow", "team-a/second"):
        with pytest.raises(NotReady, match=r"belongs to the installation team-a/finetuneflow.*of its own") as refused:
            await claim(documents, other)

        assert refused.value.reason == "CONFIGURATION"
        assert other in refused.value.message
        assert "set FTF_TAKE_OVER to team-a/finetuneflow" in refused.value.message
    assert await _owner(documents) == "team-a/finetuneflow"


async def test_of_two_that_begin_together_one_is_refused(documents: Documents) -> None:
    """Whichever was faster."""
    ends = await asyncio.gather(claim(documents, "a/x"), claim(documents, "b/x"), return_exceptions=True)

    assert [type(end) for end in ends if end is not None] == [NotReady]
    assert await _owner(documents) == ("a/x" if ends[0] is None else "b/x")


async def test_a_restored_store_is_taken_over_from_the_one_that_is_named(documents: Documents) -> None:
    """From no other; the one that was there is then refused itself, and the one after may start with the setting."""
    await claim(documents, "old/finetuneflow")
    with pytest.raises(NotReady, match="old/finetuneflow"):
        await claim(documents, "new/finetuneflow", take_over="elsewhere/finetuneflow")

    await asyncio.gather(*(claim(documents, "new/finetuneflow", take_over="old/finetuneflow") for _ in range(3)))
    await claim(documents, "new/finetuneflow", take_over="old/finetuneflow")

    assert await _owner(documents) == "new/finetuneflow"
    with pytest.raises(NotReady, match="belongs to the installation new/finetuneflow"):
        await claim(documents, "old/finetuneflow")


async def test_a_setting_that_stays_takes_no_store_again_that_the_other_took_back(documents: Documents) -> None:
    """Each takes over from each once; a third one may still."""
    await claim(documents, "a/x")
    await claim(documents, "b/x", take_over="a/x")
    await claim(documents, "a/x", take_over="b/x")
    with pytest.raises(NotReady, match=r"FTF_TAKE_OVER seems to have stayed\. Take it out") as refused:
        await claim(documents, "b/x", take_over="a/x")

    assert refused.value.reason == "CONFIGURATION"
    assert await _owner(documents) == "a/x"
    await claim(documents, "c/x", take_over="a/x")
    assert await _owner(documents) == "c/x"


async def test_a_store_whose_list_was_emptied_is_taken_over_again(documents: Documents) -> None:
    """As docs/operations.md says; a mark of before there was a list has none either."""
    await claim(documents, "a/x")
    await claim(documents, "b/x", take_over="a/x")
    await claim(documents, "a/x", take_over="b/x")
    marks = documents.collection(COLLECTION)
    mark = await marks.get(JOBS)
    assert mark is not None
    del mark["taken_over"]
    await marks.replace(mark)
    await claim(documents, "b/x", take_over="a/x")

    assert await _owner(documents) == "b/x"


async def test_a_taking_and_a_setting_without_need_are_warned_of(
    documents: Documents, caplog: pytest.LogCaptureFixture
) -> None:
    """Also in a store that nobody has marked yet, which may be the wrong one; without the setting nothing is said."""
    said = []
    for installation, take_over in (("a/x", ""), ("a/x", ""), ("b/x", "a/x"), ("b/x", "a/x"), ("b/x", "")):
        caplog.clear()
        await claim(documents, installation, take_over)
        said.append([record.getMessage() for record in caplog.records])
    await documents.collection(COLLECTION).delete(JOBS)
    await claim(documents, "b/x", "a/x")

    assert [len(messages) for messages in said] == [0, 0, 1, 1, 0]
    assert "was taken over from the installation a/x. Take FTF_TAKE_OVER out" in said[2][0]
    assert "FTF_TAKE_OVER=a/x is set without need" in said[3][0]
    assert "FTF_TAKE_OVER=a/x is set without need" in caplog.records[-1].getMessage()
