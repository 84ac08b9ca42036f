"""The dataset service in a process of its own, which a test may kill."""

from __future__ import annotations

import asyncio
import multiprocessing
from multiprocessing.process import BaseProcess
from pathlib import Path

from services.common.config import Config
from services.common.jobs.process import ProcessJobs
from services.common.server import running
from services.dataset.compose import compose
from tests.fakes.ingest import library
from tests.fakes.running import TOKEN

# Forked from a process that has imported everything and done nothing yet: a start takes a fraction of a second.
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload([__name__])


def start(state: Path, nats: str, listen: str, files: int, chunks: int, **overrides: object) -> BaseProcess:
    """Serve from a process until it is killed; documents are those of tests.fakes.ingest.library.

    Args:
        overrides: further fields of Config.
    """
    process = _CONTEXT.Process(target=_main, args=(state, nats, listen, files, chunks, overrides), daemon=True)
    process.start()
    return process


def _main(state: Path, nats: str, listen: str, files: int, chunks: int, overrides: dict[str, object]) -> None:
    asyncio.run(_serve(state, nats, listen, files, chunks, overrides))


async def _serve(state: Path, nats: str, listen: str, files: int, chunks: int, overrides: dict[str, object]) -> None:
    fields: dict[str, object] = {
        "state": state,
        "documents": f"sqlite://{state}/documents/{{service}}.db",
        "objects": f"file://{state}/objects",
        "nats": nats,
        "listen": listen,
        "sweep_seconds": 0.1,
        **overrides,
    }
    config = Config(**fields)  # type: ignore[arg-type]  # checked by the dataclass's users
    composes = {"dataset": compose, "ingest": library(files, chunks).compose}
    async with running(config, {"tester": TOKEN}, composes, ProcessJobs(state / "jobs")):
        await asyncio.Event().wait()
