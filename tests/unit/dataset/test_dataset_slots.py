"""What is remembered of an endpoint's calls: whether its limit held them back."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from services.dataset.core.pace import Pace
from services.dataset.slots import Slots


async def made(slots: Slots, calls: int, refused: int = 0) -> None:
    """Make calls as many at once as may be; the first ones are refused."""

    async def one(number: int) -> None:
        async with slots.one() as slot:
            await asyncio.sleep(0)
            if number < refused:
                slot.refused(0, late=False)
            else:
                slot.answered()

    await asyncio.gather(*map(one, range(calls)))


@pytest.mark.parametrize(
    ("most", "calls", "refused", "held"),
    [(4, 40, 0, True), (4, 19, 0, False), (64, 40, 0, False), (4, 40, 1, False)],
    ids=["most were as many as may be", "too few to tell", "never so many at once", "one was refused"],
)
async def test_the_limit_held_calls_back_where_it_was_reached_and_nothing_refused(
    most: int, calls: int, refused: int, held: bool
) -> None:
    """What came before does not count."""
    slots = Slots(Pace(most, most), most)
    await made(slots, 30, refused=30)
    before = replace(slots.past)
    slots.pace = Pace(most, most)
    await made(slots, calls, refused)

    assert slots.past.held_back(before) is held
