"""The chunks of many files."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from services.common.errors import NotReady
from services.dataset.core.example import Source
from services.dataset.ports import Document
from services.dataset.sources import AT_ONCE, sources_of

FILES = [Document(f"f{number}", f"f{number}", "") for number in range(3 * AT_ONCE)]


class Slow:
    """Files of three chunks each, every one of which takes a turn of the event loop; those of `broken` have none."""

    def __init__(self, *broken: str) -> None:
        self._broken = broken
        self.open = 0
        self.most = 0
        self.begun = 0

    async def chunks(self, file: Document) -> AsyncIterator[Source]:
        """Yield three chunks."""
        self.begun += 1
        self.open += 1
        self.most = max(self.most, self.open)
        try:
            for number in range(3):
                await asyncio.sleep(0)
                if file.name in self._broken:
                    raise NotReady(f"{file.name} has not been chunked.", reason="NOT_CHUNKED")
                yield Source(f"{file.name}/{number}", file.name, file.display_name, "x")
        finally:
            self.open -= 1


async def test_files_are_read_side_by_side_and_their_chunks_stay_in_order() -> None:
    """So many at a time and no more."""
    documents = Slow()
    found = await sources_of(documents, FILES)

    assert [source.chunk for source in found] == [f"{file.name}/{n}" for file in FILES for n in range(3)]
    assert documents.most == AT_ONCE


async def test_the_first_file_that_cannot_be_read_is_told_and_the_others_are_given_up() -> None:
    """In the order of the files, whichever fails first."""
    documents = Slow("f2", "f5")
    with pytest.raises(NotReady, match="f2 has not"):
        await sources_of(documents, FILES)

    assert documents.open == 0
    assert documents.begun < len(FILES)
