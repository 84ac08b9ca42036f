"""How long `ftf` takes to start: python tests/bench/startup.py

Prints the median and the range of whole processes, from exec to exit, and the median of their processor time, which
other work of the machine disturbs less. The aim for `ftf --help` and `ftf --version` is under 0.3 s.
Where the time goes: `python -X importtime -m finetuneflow_client.cli.main --help`.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time

RUNS = 15
FTF = [sys.executable, "-m", "finetuneflow_client.cli.main"]
COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "ftf --version": [*FTF, "--version"],
    "ftf --help": [*FTF, "--help"],
    "ftf train --help": [*FTF, "train", "--help"],
    "Tab after ftf train --l": FTF,
    "import of the client": [sys.executable, "-c", "import finetuneflow_client.client"],
}
LINE = "ftf train --l"
TAB = {"_ARGCOMPLETE": "1", "COMP_LINE": LINE, "COMP_POINT": str(len(LINE)), "_ARGCOMPLETE_STDOUT_FILENAME": os.devnull}


def measure(command: list[str]) -> tuple[list[float], list[float]]:
    """Return the seconds and the processor seconds of each of RUNS processes, after one that warms the disk cache."""
    environment = os.environ | (TAB if command == FTF else {})
    seconds, busy = [], []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(RUNS + 1):
            began, used = time.perf_counter(), used_by_children()
            subprocess.run(command, capture_output=True, cwd=folder, env=environment, timeout=60, check=False)
            seconds.append(time.perf_counter() - began)
            busy.append(used_by_children() - used)
    return seconds[1:], busy[1:]


def used_by_children() -> float:
    """Return the processor seconds of all processes that were started here and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Measure and print."""
    print(f"{'start-up':<24}  median s  range s         processor s   of {RUNS} runs")
    for name, command in COMMANDS.items():
        seconds, busy = measure(command)
        spread = f"{min(seconds):.3f} to {max(seconds):.3f}"
        print(f"{name:<24}  {statistics.median(seconds):8.3f}  {spread}  {statistics.median(busy):11.3f}")


if __name__ == "__main__":
    main()
