"""The main of a service that runs on its own."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Awaitable

from services.common.config import VERSION, Config, from_environment
from services.common.errors import FineTuneFlowError
from services.common.jobs.process import ProcessJobs
from services.common.runtime import Compose
from services.common.server import running
from services.common.telemetry import set_up_logging

TOKEN_VARIABLE = "FTF_TOKEN_FILE"  # noqa: S105  # the name of a variable, not a token


def main(name: str, compose: Compose) -> None:
    """Serve one service until SIGTERM or SIGINT; configuration comes from FTF_* variables."""
    parser = argparse.ArgumentParser(
        prog=f"python -m services.{name}",
        description=f"The {name} service of FineTuneFlow {VERSION} alone; `ftf up` runs all five.",
        epilog="Environment: FTF_STATE folder, FTF_DOCUMENTS sqlite:///…, FTF_OBJECTS file:///…, FTF_NATS_URL, "
        "FTF_METRICS host:port, "
        "FTF_LISTEN host:port, FTF_TOKEN_FILE path, FTF_<SERVICE>_ADDRESS host:port of each other service.",
    )
    parser.parse_args()
    set_up_logging()
    try:
        asyncio.run(_serve(name, compose, from_environment(os.environ)))
    except FineTuneFlowError as error:
        sys.exit(f"{name}: {error}")


async def _serve(name: str, compose: Compose, config: Config) -> None:
    config.state.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = os.environ.get(TOKEN_VARIABLE, "")
    tokens = {"user": await asyncio.to_thread(_read, path)} if path else {}
    stop = stop_signal()
    jobs = ProcessJobs(config.state / "jobs" / name)
    async with running(config, tokens, {name: compose}, jobs) as program:
        try:
            await wait_for_end(stop, program.failed())
            jobs.hold()
            await program.shut_down()
        finally:
            await jobs.close()


def _read(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read().strip()


def stop_signal() -> asyncio.Event:
    """Return an event that SIGTERM or SIGINT sets."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


async def wait_for_end(stop: asyncio.Event, failed: Awaitable[None]) -> None:
    """Wait until stop is set; a failure meanwhile is raised."""
    waits = [asyncio.ensure_future(stop.wait()), asyncio.ensure_future(failed)]
    done, pending = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    for task in done:
        task.result()
