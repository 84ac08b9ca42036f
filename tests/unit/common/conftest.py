"""What tests of Jobs as processes share."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from services.common.jobs.process import ProcessJobs
from tests.fakes.stopping import stop_all

PYTHON = (sys.executable, "-I", "-S", "-u", "-c")


@pytest.fixture
async def open_jobs(tmp_path: Path) -> AsyncIterator[Callable[..., ProcessJobs]]:
    """Opens runners over the same folder; what still runs at the end is killed."""
    opened: list[ProcessJobs] = []

    def open_runner(
        parallel: int = 1, hub_token: Callable[[], str | None] = lambda: None, **environ: str
    ) -> ProcessJobs:
        environ = {"PATH": os.environ["PATH"], **environ}
        jobs = ProcessJobs(tmp_path, {"OWN": "1"}, parallel, command=PYTHON, environ=environ, hub_token=hub_token)
        opened.append(jobs)
        return opened[-1]

    yield open_runner
    for jobs in opened:
        await jobs.close()
    if opened:
        await stop_all(opened[-1])
