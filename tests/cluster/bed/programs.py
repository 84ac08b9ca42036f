"""Programs of the bed: started with their log in a file, ended with the bed, paused and started anew for faults."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil


class Program:
    """One program."""

    def __init__(self, argv: Sequence[str], folder: Path, name: str, env: Mapping[str, str] | None = None) -> None:
        """Start nothing yet; the log will be FOLDER/NAME.log."""
        self.name, self.log = name, folder / f"{name}.log"
        self._argv, self._env = list(argv), {**os.environ, **(env or {})}
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    def module(cls, module: str, arguments: Sequence[str], folder: Path, name: str) -> Program:
        """Return one of the bed's own programs."""
        root = str(Path(__file__).resolve().parents[3])
        return cls(
            [sys.executable, "-m", module, *arguments], folder, name, {"PYTHONPATH": root, "PYTHONUNBUFFERED": "1"}
        )

    @property
    def pid(self) -> int:
        """Its process."""
        assert self._process is not None
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it, unless it runs."""
        if self.alive:
            return
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._argv, env=self._env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )  # fmt: skip

    def stop(self, grace: float = 10) -> None:
        """End it and wait for that."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(grace)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End it as a power cut does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def pause(self) -> None:
        """Stop it from answering, without ending it."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        os.kill(self.pid, signal.SIGCONT)

    def memory(self) -> int:
        """Return the bytes that it and its children hold."""
        root = psutil.Process(self.pid)
        total = 0
        for process in (root, *root.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                total += process.memory_info().rss
        return total

    def tail(self, count: int = 30) -> str:
        """Return the end of its log."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines() if self.log.exists() else []
        return "\n".join(lines[-count:])


class NotUp(RuntimeError):
    """A program of the bed did not come up; the text ends with the end of its log."""


def wait_for(what: str, ready: object, program: Program, seconds: float = 60) -> None:
    """Wait until a check (called without arguments) is true. Raises NotUp."""
    assert callable(ready)
    end = time.monotonic() + seconds
    while not ready():
        if not program.alive or time.monotonic() > end:
            state = f"not within {seconds:g} s" if program.alive else "it ended"
            raise NotUp(f"{what} did not come up: {state}. The end of {program.log}:\n{program.tail()}")
        time.sleep(0.05)
