"""What a process that reads a file may use, and settings of it that are none."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from services.common.errors import InvalidArgument
from tests.fakes.ingesting import (
    child_at_work,
    ended,
    ingest,
    read,
    reason,
    uploaded,
)
from tests.service.test_ingest_work import FAILED, LONG, SUCCEEDED


async def test_limits_of_memory_and_time_end_the_work_with_a_reason(tmp_path: Path) -> None:
    """A document that needs more than is allowed fails alone; the service goes on."""
    for setting, value in (("ingest.memory_bytes", "60000000"), ("ingest.cpu_seconds", "1")):
        async with ingest(tmp_path / setting, settings={setting: value}) as (stub, _):
            small = await read(stub, b"Hello there.", "small.txt")
            file = await read(stub, LONG * 5, "long.md")

        assert small.work.state == SUCCEEDED
        assert (file.work.state, reason(file)) == (FAILED, "EXTRACTION_LIMIT"), setting


async def test_a_wall_clock_limit_ends_a_child_that_hangs(tmp_path: Path) -> None:
    """A child that makes no progress is ended by its parent."""
    async with ingest(tmp_path, settings={"ingest.wall_seconds": "2"}) as (stub, _):
        await read(stub, b"Hello there.", "small.txt")  # what starts children is there then
        file = await uploaded(stub, LONG, "long.txt")
        child = await child_at_work()
        os.kill(child.pid, signal.SIGSTOP)
        done = await ended(stub, file.name)

    assert (done.work.state, reason(done)) == (FAILED, "EXTRACTION_LIMIT")
    assert not child.is_running()


@pytest.mark.parametrize(
    "settings", [{"ingest.memory_bytes": "much"}, {"ingest.cpu_seconds": "0"}, {"ingest.processes": "all"}]
)
async def test_a_setting_that_is_no_number_is_refused_at_the_start(tmp_path: Path, settings: dict[str, str]) -> None:
    """The program says which one."""
    with pytest.raises(InvalidArgument, match=next(iter(settings))):
        async with ingest(tmp_path, settings=settings):
            pass
