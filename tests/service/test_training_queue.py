"""Runs that wait for room: in which order they start, and what they say meanwhile."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import grpc

from finetuneflow.common.v1 import work_pb2
from finetuneflow.training.v1 import config_pb2
from finetuneflow.training.v1 import training_service_pb2 as pb
from services.common.jobs.jobfolder import JobFolder
from services.common.jobs.port import JobSpec
from services.common.jobs.process import ProcessJobs
from tests.fakes.running import refusal
from tests.service.test_training import at_step, ended, request, training

LONG = config_pb2.TrainingConfig(max_steps=10_000)


async def waiting(stub: Any, names: str) -> dict[str, int]:
    """The places of runs, once each of them has one."""
    async with asyncio.timeout(20):
        while True:
            listed = (await stub.ListRuns(pb.ListRunsRequest(parent="projects/p"))).runs
            places = {run.name.rpartition("/")[2]: run.work.waiting.position for run in listed}
            if all(places.get(name) for name in names):
                return {name: places[name] for name in names}
            await asyncio.sleep(0.05)


async def test_the_higher_priority_goes_first_and_places_move_up(tmp_path: Path) -> None:
    """Of equal ones the one that was first; one that comes later may be the next."""
    async with training(tmp_path) as (stub, _):
        await stub.CreateRun(request("r", config=LONG))
        await at_step(stub, 1)
        for name, priority in (("a", 0), ("b", 0), ("c", 5), ("d", -1)):
            await stub.CreateRun(request(name, priority=priority, config=LONG if name == "c" else None))
        places = await waiting(stub, "abcd")
        await stub.CancelRun(pb.CancelRunRequest(name="projects/p/runs/r"))
        await at_step(stub, 1, "projects/p/runs/c")
        async with asyncio.timeout(20):
            while (later := await waiting(stub, "abd")) != {"a": 1, "b": 2, "d": 3}:  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.05)
        await stub.CancelRun(pb.CancelRunRequest(name="projects/p/runs/c"))
        runs = [(await ended(stub, f"projects/p/runs/{name}"))[0] for name in "abd"]
        refused = await refusal(stub.CreateRun(request("e", priority=1001)))

    begun = [run.work.start_time.ToNanoseconds() for run in runs]
    assert places == {"c": 1, "a": 2, "b": 3, "d": 4}
    assert later == {"a": 1, "b": 2, "d": 3}
    assert {run.work.state for run in runs} == {work_pb2.WORK_STATE_SUCCEEDED}
    assert begun == sorted(begun)
    assert [run.priority for run in runs] == [0, 0, -1]
    assert refused == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")


async def test_whatever_comes_in_whatever_order_the_line_is_by_priority_and_time(tmp_path: Path) -> None:
    """Also for the next runner over the same Jobs, and for those from before there were priorities."""
    chance = random.Random(11)
    jobs = ProcessJobs(tmp_path, parallel=0)
    wanted = []
    for number in range(40):
        spec = JobSpec(f"run-{number}", (), priority=chance.randint(-2, 2), since=float(chance.randint(1, 9)))
        await jobs.ensure(spec)
        wanted.append((-spec.priority, spec.since, number, spec.name))
    places = [
        {s.name: s.waiting.position for s in await runner.list() if s.waiting} for runner in (jobs, again(tmp_path))
    ]
    old = tmp_path / "jobs" / "run-0" / "spec.json"
    old.write_text('{"order": 1, "args": [], "env": {}, "labels": {}}')

    assert [name for name, _ in sorted(places[0].items(), key=lambda item: item[1])] == [w[3] for w in sorted(wanted)]
    assert places[0] == places[1]
    assert sorted(places[0].values()) == [0, *range(2, 41)]  # the first is about to start
    assert JobFolder(old.parent).rank == (0, 1e-9, 1, "run-0")
    await jobs.close()


def again(folder: Path) -> ProcessJobs:
    """Another runner over the same Jobs, that starts none."""
    return ProcessJobs(folder, parallel=0)
