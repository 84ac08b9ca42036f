"""A run that is paused and goes on, on a real control plane."""

from __future__ import annotations

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


async def test_a_paused_run_frees_its_node_and_goes_on_from_its_checkpoint(faulty: Faulty) -> None:
    """Its trainer saves, its pods and its Job go; resumed, it does what was left."""
    name = await faulty.create({**QUICK, "steps": 200, "save_steps": 1000})
    await faulty.steps(name, 10)
    await faulty.pause(name)
    paused = await faulty.reach(name, "PAUSED")
    await faulty.gone(name)
    await faulty.resume(name)
    run = await faulty.settled(name)

    assert paused.checkpoints[-1].step >= 10
    assert [attempt.from_step for attempt in run.attempts] == [0, paused.checkpoints[-1].step]
    assert state(run) == "SUCCEEDED"


async def test_a_run_that_waits_for_a_node_is_paused_and_cancelled(faulty: Faulty) -> None:
    """Nothing ever ran, and nothing is left."""
    name = await faulty.create(LONG, gpus=8, memory="16Gi")
    await faulty.waits(name, "UNSCHEDULABLE")
    await faulty.pause(name)
    await faulty.reach(name, "PAUSED")
    await faulty.gone(name)
    await faulty.cancel(name)
    run = await faulty.settled(name, "CANCELLED")

    assert not run.attempts
