"""Real servers for tests, each started on free ports of loopback and ended with the program that started it."""

from __future__ import annotations

import contextlib
import ctypes
import http.client
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

_START_SECONDS = 30.0
_STOP_SECONDS = 10.0
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)


class Server:
    """A child process that listens on a port; the same port after a restart.

    Args:
        command: program and arguments.
        port: what it will listen on.
        folder: its working folder; its output goes to `log` there.
        environ: further variables.
        ready: path that answers 200 once it does what it is asked; "" where an open port says so.
    """

    def __init__(
        self, command: Sequence[str], port: int, folder: Path, environ: Mapping[str, str], ready: str = ""
    ) -> None:
        self._command = list(command)
        self._folder = folder
        self._environ = {"PATH": os.environ["PATH"], "HOME": str(folder), **environ}
        self._process: subprocess.Popen[bytes] | None = None
        self._ready = ready
        self.port = port

    @property
    def address(self) -> str:
        """host:port"""
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """The process, to stop or to kill."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it, and wait until it is ready."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command, env=self._environ, cwd=self._folder, stdout=log, stderr=log, preexec_fn=_die_with_parent
            )
        end = time.monotonic() + _START_SECONDS
        while not (listening(self.port) and (not self._ready or answers(self.address, self._ready))):
            if self._process.poll() is not None or time.monotonic() > end:
                text = (self._folder / "log").read_text(errors="replace")[-2000:]
                self.stop()
                raise AssertionError(f"{self._command[0]} did not start: {text}")
            time.sleep(0.02)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End it by a signal, by SIGKILL if that takes long. Repeating it does nothing."""
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(number)
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def kill(self) -> None:
        """End it without a warning, as a power cut would."""
        self.stop(signal.SIGKILL)


def _die_with_parent() -> None:
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def listening(port: int) -> bool:
    """Whether something takes connections on a port of loopback."""
    with contextlib.closing(socket.socket()) as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def answers(address: str, path: str) -> bool:
    """Whether a server answers 200 at a path."""
    connection = http.client.HTTPConnection(address, timeout=2)
    with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
        connection.request("GET", path)
        return connection.getresponse().status == 200
    return False


def free_ports(count: int) -> list[int]:
    """Return ports that are free at the moment."""
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(contextlib.closing(socket.socket())) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


@contextlib.contextmanager
def started(server: Server) -> Iterator[Server]:
    """Run a server while the block runs."""
    server.start()
    try:
        yield server
    finally:
        server.stop()
