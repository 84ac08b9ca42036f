"""Processes that are forked by one that has loaded what they need."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import weakref
from collections.abc import Mapping, Sequence
from functools import partial

from services.common.confined.running import MOST_ANSWER, Command

_NURSERY = "services.common.confined.nursery"
_END_SECONDS = 5.0


class Warm:
    """Starts processes through a nursery, which it starts when the first is wanted, and again should it end.

    Args:
        environment: what the processes see of the environment; nothing else of this program's reaches them.
        modules: loaded beforehand; with ":function" after its name, a module's function is called, too.
    """

    def __init__(self, environment: Mapping[str, str], modules: Sequence[str]) -> None:
        self._environment = dict(environment)
        self._modules = list(modules)
        self._lock = threading.Lock()
        self._nursery: _Nursery | None = None

    async def start(self, command: Command) -> WarmProcess:
        """Start a process; see running.Starter."""
        out, err = os.pipe(), os.pipe()
        mine, theirs = socket.socketpair()
        message = {"program": command.program, "note": str(command.note), "variables": dict(command.variables)}
        try:
            nursery = self._sent(json.dumps(message).encode(), [out[1], err[1], theirs.fileno()])
        except BaseException:
            os.close(out[0])
            os.close(err[0])
            mine.close()
            raise
        finally:
            os.close(out[1])
            os.close(err[1])
            theirs.close()
        process = WarmProcess(nursery, mine)
        opening = asyncio.ensure_future(process.open(out[0], err[0]))
        try:
            await asyncio.shield(opening)
        except asyncio.CancelledError:
            await opening
            await process.end()
            raise
        return process

    def _sent(self, message: bytes, files: list[int]) -> _Nursery:
        """Send a command to the nursery that runs, or to a new one."""
        with self._lock:
            if self._nursery and self._nursery.runs():
                with contextlib.suppress(OSError):
                    self._nursery.send(message, files)
                    return self._nursery
            self._nursery = _Nursery(self._environment, self._modules)
            self._nursery.send(message, files)
            return self._nursery

    def close(self) -> None:
        """End the nursery with all its children; a later start begins another one."""
        with self._lock:
            if self._nursery:
                self._nursery.end()
            self._nursery = None


class _Nursery:
    """The process that forks the others. It ends when this object is dropped."""

    def __init__(self, environment: Mapping[str, str], modules: Sequence[str]) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            number = str(theirs.fileno())
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", _NURSERY, number, str(os.getpid()), *modules],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env=dict(environment),
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        self._finish = weakref.finalize(self, _finished, self._control, self._process)

    def runs(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def send(self, message: bytes, files: list[int]) -> None:
        """Send a command; raises OSError if it has ended."""
        socket.send_fds(self._control, [message], files)

    def kill(self) -> None:
        """Kill it; its children die with it."""
        self._process.kill()

    def end(self) -> None:
        """End it and its children."""
        self._finish()


def _finished(control: socket.socket, process: subprocess.Popen[bytes]) -> None:
    control.close()
    try:
        process.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _same(protocol: asyncio.StreamReaderProtocol) -> asyncio.StreamReaderProtocol:
    return protocol


class WarmProcess:
    """A process that a nursery forked."""

    def __init__(self, nursery: _Nursery, channel: socket.socket) -> None:
        self._nursery = nursery
        self._socket = channel
        self.stdout = asyncio.StreamReader(limit=MOST_ANSWER)
        self.stderr = asyncio.StreamReader()
        self._transports: list[asyncio.ReadTransport] = []

    async def open(self, out: int, err: int) -> None:
        """Begin to listen to it."""
        loop = asyncio.get_running_loop()
        for file, reader in ((out, self.stdout), (err, self.stderr)):
            protocol = asyncio.StreamReaderProtocol(reader)
            transport, _ = await loop.connect_read_pipe(partial(_same, protocol), os.fdopen(file, "rb", 0))
            self._transports.append(transport)
        self._channel, self._writer = await asyncio.open_unix_connection(sock=self._socket)
        self._ending = asyncio.ensure_future(self._told())

    async def _told(self) -> bytes:
        try:
            return await self._channel.read()
        except OSError:  # the nursery ended
            return b""

    async def wait(self) -> int | None:
        """Return its exit code; see running.Process."""
        told = await asyncio.shield(self._ending)
        return int(told) if told else None

    async def end(self) -> None:
        """Kill it with all that it started; see running.Process."""
        await asyncio.shield(asyncio.ensure_future(self._end()))

    async def _end(self) -> None:
        with contextlib.suppress(OSError):
            self._writer.write(b"k")
        try:
            await asyncio.wait_for(asyncio.shield(self._ending), _END_SECONDS)
        except TimeoutError:  # the nursery does not answer: it goes, and all its children with it
            self._nursery.kill()
            await self._ending
        self._writer.close()
        for transport in self._transports:
            transport.close()
