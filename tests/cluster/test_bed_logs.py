"""Logs of the bed's pods, through the real API server."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.cluster.bed.cluster import Bed
from tests.cluster.manifests import container, log, phase, pod, run, start, waiting

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("node")]


async def test_a_log_is_followed_line_by_line_to_its_end(bed: Bed, space: str) -> None:
    """Each line arrives when it is written; the stream ends with the container."""
    await start(bed, space, "one", pod(container("sh", "-c", "for i in 1 2 3 4; do echo line $i; sleep 0.4; done")))
    await phase(bed, space, "one", "Running")
    lines = bed.raw.lines(f"/api/v1/namespaces/{space}/pods/one/log", follow="true")
    arrivals = [(line, time.monotonic()) async for line in lines]

    assert [line for line, _ in arrivals] == [f"line {number}" for number in (1, 2, 3, 4)]
    assert arrivals[-1][1] - arrivals[0][1] > 0.8


async def test_a_log_by_its_last_lines_and_with_times(bed: Bed, space: str) -> None:
    """tailLines and timestamps, as `kubectl logs` asks for them."""
    await run(bed, space, pod(container("sh", "-c", "echo a; echo b; echo c")))
    last = await log(bed, space, "one", tailLines="2")
    stamped = await log(bed, space, "one", timestamps="true", tailLines="1")
    time_of_c, _, text = stamped.partition(" ")

    assert last == "b\nc\n"
    assert (text, time_of_c[4], time_of_c[-1]) == ("c\n", "-", "Z")


async def test_the_log_of_the_life_before(bed: Bed, space: str) -> None:
    """A container that fails again and again is put off, and its last words can be read."""
    main = container("sh", "-c", "echo I am $(cat /work/n 2>/dev/null || echo 0); echo 1 > /work/n; exit 3")
    main["volumeMounts"] = [{"name": "work", "mountPath": "/work"}]
    await start(bed, space, "one", pod(main, restartPolicy="Always", volumes=[{"name": "work", "emptyDir": {}}]))
    state = await waiting(bed, space, "one", "CrashLoopBackOff")
    text = await log(bed, space, "one", previous="true")
    found = await bed.raw.get("pods", space, "one")

    assert "restarting failed container" in state["message"]
    assert text == "I am 1\n"
    assert found["status"]["containerStatuses"][0]["lastState"]["terminated"]["exitCode"] == 3


async def test_the_log_of_a_lost_node_breaks_off(bed: Bed, space: str) -> None:
    """A reader of a log is not left waiting for ever, and learns that it did not get all."""
    async with bed.kubelet("far", labels={"far": "yes"}) as far:
        spec = pod(container("sh", "-c", "while :; do echo on; sleep 0.2; done"), nodeSelector={"far": "yes"})
        await start(bed, space, "one", spec)
        await phase(bed, space, "one", "Running")
        lines = bed.raw.lines(f"/api/v1/namespaces/{space}/pods/one/log", follow="true")
        first = await anext(lines)
        await far.vanish()
        ended = time.monotonic()
        async with asyncio.timeout(20):
            try:
                async for _ in lines:
                    pass
            except OSError as error:
                print("the stream broke off:", error)

        assert first == "on"
        assert time.monotonic() - ended < 5
