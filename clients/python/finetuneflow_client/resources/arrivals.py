"""Documents on their way: sent one after the other, read by the server meanwhile, and told as each has been read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

from finetuneflow.ingest.v1 import file_pb2
from finetuneflow_client.client import Services
from finetuneflow_client.errors import DocumentsRefused, FtfError
from finetuneflow_client.picking import pick
from finetuneflow_client.sending import send
from finetuneflow_client.uploads import Progress
from finetuneflow_client.watch import watch_file


async def arrivals(
    flow: Services, project: str, paths: Sequence[str], progress: Callable[[str, int, int], None] | None
) -> AsyncIterator[file_pb2.File]:
    """Send what paths stand for, and yield each file once it was read. Errors: as Project.upload."""
    refused: list[FtfError] = []
    reading: dict[str, asyncio.Task[file_pb2.File]] = {}
    told: set[str] = set()

    def begun(path: Path) -> Progress:
        return lambda done, of: progress(path.name, done, of) if progress else None

    def ended() -> list[file_pb2.File]:
        found = [task.result() for name, task in reading.items() if task.done() and name not in told]
        told.update(file.name for file in found)
        return found

    try:
        async for sent in send(flow, project, pick(paths), begun):
            refused += sent.refused
            for file in sent.files:
                if file.name not in reading:
                    reading[file.name] = asyncio.create_task(_read(flow, file))
            for file in ended():
                yield file
        while left := [task for name, task in reading.items() if name not in told]:
            await asyncio.wait(left, return_when=asyncio.FIRST_COMPLETED)
            for file in ended():
                yield file
    finally:
        for task in reading.values():
            task.cancel()
        await asyncio.gather(*reading.values(), return_exceptions=True)
    if refused:
        raise DocumentsRefused(refused)


async def _read(flow: Services, file: file_pb2.File) -> file_pb2.File:
    """Return a file once its reading has ended."""
    async for newest in watch_file(flow, file.name):
        file = newest
    return file
