"""What `ftf up` costs: python -m tests.bench.server

Prints the seconds from starting the program to its first answer over gRPC, on an empty state folder and on the same one
again, and the memory of all five services at rest; the aim for the latter is under 300 MB, with no torch in it.
"""

from __future__ import annotations

import contextlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from finetuneflow_client.discovery import find_server
from finetuneflow_client.errors import FtfError

RUNS = 5
SETTLE_SECONDS = 1.0
REST_SECONDS = 10.0
LIMIT_SECONDS = 60.0


@contextlib.contextmanager
def up(state: Path) -> Iterator[tuple[psutil.Process, float]]:
    """Run the server for the length of the block; yields its process and the seconds that it took to be ready."""
    began = time.perf_counter()
    command = [sys.executable, "-P", "-m", "services.local", "--state", str(state)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        yield psutil.Process(process.pid), ready(state, began)
    finally:
        process.terminate()
        process.wait(LIMIT_SECONDS)


def ready(state: Path, began: float) -> float:
    """Return the seconds until the server has written where it is, which it does once it answers."""
    while True:
        with contextlib.suppress(FtfError):
            find_server(state=str(state))
            return time.perf_counter() - began
        if time.perf_counter() - began > LIMIT_SECONDS:
            sys.exit("the server did not become ready")
        time.sleep(0.01)


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        empty = []
        for number in range(RUNS):
            with up(Path(folder, str(number))) as (_, seconds):
                empty.append(seconds)
                time.sleep(SETTLE_SECONDS)
        again = []
        for _ in range(RUNS):
            with up(Path(folder, "0")) as (_, seconds):
                again.append(seconds)
                time.sleep(SETTLE_SECONDS)
        with up(Path(folder, "0")) as (process, _):
            time.sleep(REST_SECONDS)
            services, children = process.memory_full_info(), process.children(recursive=True)
            nats = sum(child.memory_full_info().rss for child in children)
            torch = any("torch" in part.path for part in process.memory_maps())
    for name, seconds in (("an empty folder", empty), ("the same folder", again)):
        print(f"ftf up to ready, {name}: {statistics.median(seconds):.2f} s ({min(seconds):.2f} to {max(seconds):.2f})")
    print(f"memory at rest: services {services.rss / 1e6:.0f} MB, their own {services.uss / 1e6:.0f} MB")
    print(f"memory of nats-server: {nats / 1e6:.0f} MB; torch in the services: {'yes' if torch else 'no'}")


if __name__ == "__main__":
    main()
