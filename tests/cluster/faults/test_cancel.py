"""A run that is cancelled, at every state that it can be in."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.cluster.faults.faulty import LONG, QUICK, state

if TYPE_CHECKING:
    from tests.cluster.faults.faulty import Faulty

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.faults,
    pytest.mark.asyncio(loop_scope="package"),
    pytest.mark.timeout(400),
]


@pytest.mark.parametrize("milliseconds", [0, 150, 600])
async def test_cancelled_while_it_starts(faulty: Faulty, milliseconds: int) -> None:
    """At whatever moment between QUEUED and the first step."""
    name = await faulty.create(LONG)
    await asyncio.sleep(milliseconds / 1000)
    await faulty.cancel(name)

    await faulty.settled(name, "CANCELLED")


async def test_cancelled_while_it_waits_for_a_node(faulty: Faulty) -> None:
    """Nothing ever ran."""
    name = await faulty.create(LONG, gpus=8, memory="16Gi")
    await faulty.waits(name, "UNSCHEDULABLE")
    await faulty.cancel(name)
    run = await faulty.settled(name, "CANCELLED")

    assert not run.attempts


async def test_cancelled_while_it_trains(faulty: Faulty) -> None:
    """The trainer is told and ends by itself."""
    name = await faulty.create(LONG)
    await faulty.steps(name, 5)
    await faulty.cancel(name)

    await faulty.settled(name, "CANCELLED", seconds=30)


async def test_cancelled_while_another_pod_is_awaited(faulty: Faulty) -> None:
    """Between a crash and the next pod."""
    name = await faulty.create({**QUICK, "crash_at": 12})
    await faulty.waits(name, "CRASHED")
    await faulty.cancel(name)
    run = await faulty.settled(name, "CANCELLED")

    assert len(run.attempts) == 1


async def test_cancelled_though_its_trainer_hangs(faulty: Faulty) -> None:
    """One that neither listens to the service nor to SIGTERM is killed."""
    name = await faulty.create({**LONG, "hang_at": 30, "deaf": True, "faulty": 9})
    await faulty.steps(name, 10)
    await faulty.cancel(name)

    await faulty.settled(name, "CANCELLED", seconds=60)


async def test_cancelled_after_its_end_changes_nothing(faulty: Faulty) -> None:
    """Also a second time."""
    name = await faulty.create(QUICK)
    await faulty.settled(name)
    await faulty.cancel(name)
    await faulty.cancel(name)

    assert state(await faulty.get(name)) == "SUCCEEDED"
