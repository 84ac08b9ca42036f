"""`ftf up` on the stores of a cluster: all five services in one process, documents and objects where they are told.

    python -m tests.pipeline.up

FTF_STATE is the folder of everything else; FTF_DOCUMENTS, FTF_OBJECTS, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are
those of a service on its own.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path

from services import local
from services.common.config import Config
from services.common.errors import FineTuneFlowError
from services.common.jobs.process import ProcessJobs
from services.common.main import stop_signal, wait_for_end
from services.common.natsserver import NatsServer
from services.common.server import running


async def serve(state: Path, began: float) -> None:
    """Serve until SIGTERM; trainers save their checkpoints first."""
    stop = stop_signal()
    nats = NatsServer(state / "nats")
    await nats.start()
    try:
        config = Config(
            state=state,
            documents=os.environ["FTF_DOCUMENTS"],
            objects=os.environ["FTF_OBJECTS"],
            object_keys=(os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"]),
            nats=nats.url,
            listen=f"127.0.0.1:{local.port(state, 0)}",
        )
        jobs = ProcessJobs(state / "jobs")
        async with running(config, {local.USER: local.token(state)}, local.COMPOSES, jobs) as program:
            local.announce(state, program, began)
            try:
                await wait_for_end(stop, program.failed())
                jobs.hold()
                await program.shut_down()
            finally:
                (state / local.SERVER_FILE).unlink(missing_ok=True)
                await jobs.close()
    finally:
        await nats.stop()


def main() -> None:
    """Serve."""
    state = Path(os.environ["FTF_STATE"])
    try:
        with local.only_one(state):
            asyncio.run(serve(state, time.monotonic()))
    except FineTuneFlowError as error:
        sys.exit(f"ftf: {error}")


if __name__ == "__main__":
    main()
