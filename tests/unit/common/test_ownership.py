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
    """From no other; the one that was there is then refused itself, and the setting may stay."""
    await claim(documents, "old/finetuneflow")
    with pytest.raises(NotReady, match="old/finetuneflow"):
        await claim(documents, "new/finetuneflow", take_over="elsewhere/finetuneflow")

    await asyncio.gather(*(claim(documents, "new/finetuneflow", take_over="old/finetuneflow") for _ in range(3)))
    await claim(documents, "new/finetuneflow", take_over="old/finetuneflow")

    assert await _owner(documents) == "new/finetuneflow"
    with pytest.raises(NotReady, match="belongs to the installation new/finetuneflow"):
        await claim(documents, "old/finetuneflow")
