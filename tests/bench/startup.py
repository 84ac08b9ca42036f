"""How long `ftf` takes to start: python tests/bench/startup.py

Prints the median and the range of whole processes, from exec to exit; the aim for `ftf --help` is under 0.3 s.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time

RUNS = 15
COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "ftf --help": [sys.executable, "-m", "finetuneflow_client.cli.main", "--help"],
    "ftf train --help": [sys.executable, "-m", "finetuneflow_client.cli.main", "train", "--help"],
    "import of the client": [sys.executable, "-c", "import finetuneflow_client.client"],
}


def measure(command: list[str]) -> list[float]:
    """Return the seconds of each of RUNS processes, after one that warms the disk cache."""
    seconds = []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(RUNS + 1):
            began = time.perf_counter()
            subprocess.run(command, capture_output=True, cwd=folder, timeout=60, check=False)
            seconds.append(time.perf_counter() - began)
    return seconds[1:]


def main() -> None:
    """Measure and print."""
    print(f"{'start-up':<22}  median s  range s           of {RUNS} runs")
    for name, command in COMMANDS.items():
        seconds = measure(command)
        print(f"{name:<22}  {statistics.median(seconds):8.3f}  {min(seconds):.3f} to {max(seconds):.3f}")


if __name__ == "__main__":
    main()
