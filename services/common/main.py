"""The main of a service that runs on its own."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Awaitable

from services.common.config import VERSION, Config
from services.common.errors import FineTuneFlowError
from services.common.jobs.process import ProcessJobs
from services.common.outside import outside
from services.common.runtime import Compose
from services.common.server import running
from services.common.telemetry import set_up_logging
from services.common.variables import configuration, described, from_environment
from services.common.waiting import end

_REST_SECONDS = 3.0
"""For outside work of a service in a cluster; with the calls' time it is less than what its pod has, see the chart."""


def main(name: str, compose: Compose) -> None:
    """Serve one service until SIGTERM or SIGINT; configuration comes from environment variables."""
    parser = argparse.ArgumentParser(
        prog=f"python -m services.{name}",
        description=f"The {name} service of FineTuneFlow {VERSION} alone; `ftf up` runs all five.",
        epilog="\n".join(["environment variables:", *described()]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.parse_args()
    set_up_logging()
    try:
        asyncio.run(_serve(name, compose, from_environment(os.environ)))
    except FineTuneFlowError as error:
        sys.exit(f"{name}: {error}")


async def _serve(name: str, compose: Compose, config: Config) -> None:
    _make(config)
    stop, ready = stop_signal(), asyncio.Event()
    serving = asyncio.create_task(_serve_until(stop, ready, name, compose, config))
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait([serving, stopped], return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if not ready.is_set():
        # It waits for a store, perhaps longer than whoever wants it to end; nothing was served yet.
        await end([serving])
    if not serving.cancelled():
        await serving


async def _serve_until(stop: asyncio.Event, ready: asyncio.Event, name: str, compose: Compose, config: Config) -> None:
    async with (
        outside(name, config) as found,
        running(config, found.tokens, {name: compose}, found.jobs, found.issuers) as program,
    ):
        ready.set()
        await wait_for_end(stop, program.failed())
        await program.leave()
        if isinstance(found.jobs, ProcessJobs):
            # Processes of this machine end with it, saving first.
            found.jobs.hold()
            await program.shut_down()
        else:
            # Jobs of a cluster outlive the service: what is not done in time, its other replicas do.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_REST_SECONDS):
                    await program.shut_down()


def _make(config: Config) -> None:
    try:
        config.state.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise configuration(
            f"The folder {config.state} cannot be made ({error.strerror}). Set FTF_STATE to one that can be written."
        ) from None


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
