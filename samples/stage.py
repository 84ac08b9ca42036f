"""What the demo starts and ends: the teacher, `ftf up`, and one `ftf` command after the other."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PR_SET_PDEATHSIG = 1  # prctl(2): the signal that a process gets when its parent ends
LIBC = ctypes.CDLL(None)
READY_SECONDS = 60
STOP_SECONDS = 120  # a run that is stopped saves a checkpoint first
PROGRAMS = Path(sys.executable).parent


class DemoFailed(Exception):
    """A step did not work; the message says which."""


def end_with_parent() -> None:
    """Have this process asked to end when its parent ends, even if that is killed; Linux alone can."""
    if sys.platform == "linux":
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


class Stage:
    """A place to run commands in: `ftf` with a state folder of its own.

    Args:
        state: state folder of `ftf up`.
        project: the project that commands work in.
    """

    def __init__(self, state: Path, project: str) -> None:
        self._state = state
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("FTF_")}
        self._env = {**inherited, "FTF_STATE": str(state), "FTF_PROJECT": project, "PYTHONUNBUFFERED": "1"}
        # Two OpenMP processes that spin for each other's cores are many times slower than two that sleep.
        self._env |= {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0", "HF_HUB_OFFLINE": "1"}

    def ftf(self, *words: str | Path) -> None:
        """Run a command in sight of the user. Raises DemoFailed if it does not end with 0."""
        command = [str(word) for word in words]
        print(f"\n$ ftf {' '.join(command)}", flush=True)
        done = subprocess.run([PROGRAMS / "ftf", *command], env=self._env, check=False, preexec_fn=end_with_parent)
        if done.returncode != 0:
            raise DemoFailed(f"`ftf {' '.join(command)}` ended with {done.returncode}")

    def facts(self, *words: str) -> dict[str, Any]:
        """Run a command with --json and return what it says. Raises DemoFailed if it does not end with 0."""
        done = subprocess.run(
            [PROGRAMS / "ftf", *words, "--json"], env=self._env, check=False, capture_output=True, text=True
        )
        if done.returncode != 0:
            raise DemoFailed(f"`ftf {' '.join(words)} --json` ended with {done.returncode}: {done.stderr.strip()}")
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def python(self, *words: str | Path) -> str:
        """Run a Python program and return what it prints. Raises DemoFailed if it does not end with 0."""
        command = [sys.executable, *map(str, words)]
        done = subprocess.run(command, env=self._env, check=False, capture_output=True, text=True)
        if done.returncode != 0:
            raise DemoFailed(f"`python {' '.join(command[1:])}` ended with {done.returncode}:\n{done.stderr.strip()}")
        return done.stdout.strip()

    @contextmanager
    def teacher(self, log: Path) -> Iterator[str]:
        """Serve the sample LLM for the length of the block; yields its base URL."""
        command = [sys.executable, str(Path(__file__).parent / "teacher.py")]
        with (
            log.open("w") as stderr,
            ended(
                subprocess.Popen(command, env=self._env, stdout=subprocess.PIPE, stderr=stderr, text=True)
            ) as process,
        ):
            url = (process.stdout.readline() if process.stdout else "").strip()
            if not url:
                raise DemoFailed(f"the LLM server did not start; see {log}")
            yield url

    @contextmanager
    def server(self) -> Iterator[None]:
        """Run `ftf up` for the length of the block."""
        print("\n$ ftf up &", flush=True)
        up = subprocess.Popen([PROGRAMS / "ftf", "up"], env=self._env, preexec_fn=end_with_parent)
        with ended(up) as process:
            deadline = time.monotonic() + READY_SECONDS
            while not self.serves():
                if process.poll() is not None or time.monotonic() > deadline:
                    raise DemoFailed("`ftf up` did not become ready")
                time.sleep(0.2)
            yield

    def serves(self) -> bool:
        """Whether a server answers for the state folder."""
        done = subprocess.run([PROGRAMS / "ftf", "status"], env=self._env, check=False, capture_output=True)
        return done.returncode == 0

    def end_leftovers(self) -> None:
        """End what a demo that was killed may have left: a trainer that outlived its server."""
        # A server that ended in order has removed this file, and has stopped its trainers.
        if (self._state / "server.json").exists():
            with contextlib.suppress(DemoFailed), self.server():
                pass


@contextmanager
def ended(process: subprocess.Popen[Any]) -> Iterator[subprocess.Popen[Any]]:
    """Have a process ended after the block: asked first, then forced."""
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout:
            process.stdout.close()
