"""Jobs of this machine at the end of a test."""

from __future__ import annotations

import asyncio

from services.common.jobs.process import ProcessJobs


async def stop_all(jobs: ProcessJobs) -> None:
    """Start nothing more, and end all that run."""
    jobs.hold()
    running = [status.name for status in await jobs.list() if status.state == "RUNNING"]
    await asyncio.gather(*(jobs.stop(name, 0) for name in running))
