"""A node that is lost, and comes back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.cluster.bed.waits import until
from tests.cluster.faults.faulty import LONG, trainers

if TYPE_CHECKING:
    from tests.cluster.faults.faulty import Faulty

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.faults,
    pytest.mark.asyncio(loop_scope="package"),
    pytest.mark.timeout(400),
]
PRODUCT = "LOST-GPU"


async def test_the_run_of_a_lost_node_goes_on_elsewhere_and_the_old_trainer_is_fenced(faulty: Faulty) -> None:
    """The old process lives on; its first word after the takeover ends it, and nothing that it wrote counts."""
    async with faulty.bed.kubelet(gpus=1, gpu_product=PRODUCT) as lost:
        name = await faulty.create({**LONG, "steps": 400, "step_seconds": 0.1}, gpus=1, gpu_product=PRODUCT)
        await faulty.steps(name, 25)
        (old,) = trainers(name)
        await lost.vanish()
        async with faulty.bed.kubelet(gpus=1, gpu_product=PRODUCT):
            waited = await faulty.waits(name, "NODE_LOST", "EVICTED", seconds=60)
            await until(lambda: attempts(faulty, name, 2), "a second attempt", 60)
            await until(lambda: gone(old, name), "the old trainer has left", 30)
            await lost.come_back()
            run = await faulty.settled(name, seconds=150)

    assert waited.work.waiting.message
    assert len(run.attempts) == 2
    assert run.attempts[1].from_step >= 20


async def attempts(faulty: Faulty, name: str, count: int) -> bool:
    """Whether a run has had that many attempts."""
    return len((await faulty.get(name)).attempts) >= count


async def gone(pid: int, name: str) -> bool:
    """Whether a trainer's process has ended."""
    return pid not in trainers(name)
