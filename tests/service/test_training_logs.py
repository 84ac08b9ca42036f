"""Logs of runs: every launch, live or kept."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import Any

from finetuneflow.training.v1 import training_service_pb2 as pb
from tests.service.test_training import RUN, ended, request
from tests.service.test_waiting import none_left, training, until


async def test_the_log_has_every_launch_in_order_live_or_kept(tmp_path: Path) -> None:
    """Followed from the first to the last, or read when all is over: the same lines once each."""
    plan = {"steps": 30, "step_seconds": 0.05, "save_steps": 5, "exit_at": 7, "exit_code": 1, "faulty": 2}
    async with training(tmp_path, **plan) as (stub, jobs):
        await stub.CreateRun(request())
        follow = pb.ReadLogsRequest(name=RUN, follow=True)
        followed = asyncio.create_task(_lines(stub, follow))
        await ended(stub)
        live = await followed
        await until(partial(none_left, jobs))
        kept = await _lines(stub, pb.ReadLogsRequest(name=RUN))

    assert live == ["attempt 1", "exit at step 7", "attempt 2 from step 5", "exit at step 7", "attempt 3 from step 5"]
    assert kept == live


async def _lines(stub: Any, wanted: pb.ReadLogsRequest) -> list[str]:
    return [line.text async for line in stub.ReadLogs(wanted)]
