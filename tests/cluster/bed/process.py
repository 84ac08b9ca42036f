"""One container's process: its start in namespaces of its own, its log, its memory, its end."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

LAUNCHER = Path(__file__).with_name("launcher.py")
ROOT = Path(__file__).resolve().parents[3]
# What containers run with must stay visible whatever is mounted over it, above all over /tmp.
VISIBLE = [str(ROOT), sys.base_prefix]
NEWPID = 0x20000000
MEMORY_POLL = 0.3  # seconds

libc = ctypes.CDLL(None, use_errno=True)


def now() -> str:
    """Return the time as Kubernetes writes it in logs."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f000Z")


def resident(pid: int) -> int:
    """Return the bytes that a process and its descendants hold that no file backs; 0 when it has gone."""
    total = 0
    with contextlib.suppress(psutil.Error):
        root = psutil.Process(pid)
        for process in (root, *root.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                memory = process.memory_info()
                total += memory.rss - memory.shared
    return total


class ContainerProcess:
    """A process that has started. `code` is its exit code, 128 + n when signal n ended it, None while it lives."""

    def __init__(self, popen: subprocess.Popen[bytes], log: Path) -> None:
        """Use `start` instead."""
        self._popen = popen
        self._pidfd = os.pidfd_open(popen.pid)
        self._ended = asyncio.Event()
        self.executed = asyncio.Event()  # Set when the launcher has become the program.
        self._log = log
        self.pid = popen.pid
        self.code: int | None = None
        self.oom = False
        self._tasks: list[asyncio.Task[None]] = []

    @classmethod
    def start(
        cls, spec: Mapping[str, Any], argv: Sequence[str], env: Mapping[str, str], folder: Path, log: Path, memory: int
    ) -> ContainerProcess:
        """Start a container.

        Args:
            spec: what the launcher reads, without argv and env.
            folder: of this container, for the specification.
            log: the file that its output goes to, each line behind its time.
            memory: bytes above which it is killed as out of memory; 0 for no limit.
        """
        file = folder / "spec.json"
        file.write_text(
            json.dumps({**spec, "argv": list(argv), "env": dict(env), "visible": VISIBLE}), encoding="utf-8"
        )
        file.chmod(0o600)
        read, write = os.pipe()
        launched, launching = os.pipe()
        own = os.open("/proc/self/ns/pid", os.O_RDONLY)
        try:
            # The next child is process 1 of a new PID namespace; this process stays where it is.
            if libc.unshare(NEWPID) != 0:
                raise OSError(ctypes.get_errno(), "no PID namespace can be made")
            popen = subprocess.Popen(
                [sys.executable, "-I", "-S", str(LAUNCHER), str(file), str(launching)],
                stdin=subprocess.DEVNULL, stdout=write, stderr=write, env={}, cwd="/", start_new_session=True,
                pass_fds=[launching],
            )  # fmt: skip
        finally:
            libc.setns(own, NEWPID)
            os.close(own)
            os.close(write)
            os.close(launching)
        started = cls(popen, log)
        asyncio.get_running_loop().add_reader(launched, started._running, launched)
        asyncio.get_running_loop().add_reader(started._pidfd, started._reap)
        started._tasks.append(asyncio.create_task(started._pump(read)))
        if memory:
            started._tasks.append(asyncio.create_task(started._limit(memory)))
        return started

    def _running(self, launched: int) -> None:
        """The launcher's end of this pipe closed: by becoming the program, or by failing to."""
        asyncio.get_running_loop().remove_reader(launched)
        os.close(launched)
        self.executed.set()

    def _reap(self) -> None:
        asyncio.get_running_loop().remove_reader(self._pidfd)
        os.close(self._pidfd)
        code = self._popen.wait()
        self.code = code if code >= 0 else 128 - code
        self._ended.set()

    async def _pump(self, pipe: int) -> None:
        """Copy the output into the log; the pipe closes when the last process of the namespace has gone."""
        reader = asyncio.StreamReader(limit=1 << 20)
        loop = asyncio.get_running_loop()
        transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(pipe, "rb"))
        with self._log.open("ab", buffering=0) as log:
            try:
                while line := await reader.readline():
                    log.write(f"{now()} ".encode() + line.rstrip(b"\n") + b"\n")
            finally:
                transport.close()

    async def _limit(self, memory: int) -> None:
        """Kill it when it holds more memory than it may."""
        while self.code is None:
            if await asyncio.to_thread(resident, self.pid) > memory:
                self.out_of_memory()
            await asyncio.sleep(MEMORY_POLL)

    def out_of_memory(self) -> None:
        """Kill it as the kernel does when the limit of its memory is passed."""
        self.oom = True
        self.signal(signal.SIGKILL)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the container's process 1; nothing if it has ended."""
        if self.code is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    async def wait(self) -> int:
        """Wait for its end, and until its log is whole; return the exit code."""
        await self._ended.wait()
        await asyncio.gather(*self._tasks[:1])
        for task in self._tasks[1:]:
            task.cancel()
        assert self.code is not None
        return self.code

    async def ended(self, seconds: float) -> bool:
        """Wait for its end, for so long; return whether it has come."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._ended.wait(), seconds)
        return self._ended.is_set()

    async def execute(self, argv: Sequence[str], env: Mapping[str, str], timeout: float) -> int:
        """Run a program inside the container, as exec probes and hooks do; return its exit code, 124 when late."""
        inside = ["nsenter", "--target", str(self.pid), "--mount", "--pid", "--root", "--wd", "--", *argv]
        pipe = asyncio.subprocess.DEVNULL
        child = await asyncio.create_subprocess_exec(*inside, env=dict(env), stdin=pipe, stdout=pipe, stderr=pipe)
        try:
            return await asyncio.wait_for(child.wait(), timeout)
        except TimeoutError:
            return 124
        finally:
            if child.returncode is None:
                child.kill()
                await child.wait()
