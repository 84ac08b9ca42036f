"""A process that has loaded what programs need and forks one for each command, which costs a fifteenth of a start.

`python -m services.common.confined.nursery SOCKET PARENT MODULE…` loads the modules and then obeys messages on the
socket. It opens nothing that a stranger wrote and holds no secret: its environment is that of its children. With a
message come three descriptors: the child's standard output and error, and a channel. Whatever comes on the channel, its
end included, kills the child with all that it started; when the child has ended, its exit code goes out on the channel.

One child is always prepared ahead, from the first command on. It waits in a session of its own, takes one command and
ends with it, so that each command has a process that has seen nothing before; it confines itself as a process started
anew does.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import selectors
import signal
import socket
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

from services.common.confined.limits import die_with

MOST_MESSAGE = 1 << 16
_FILES = 3
_HIGHEST_FILE = 1 << 12


@dataclass(frozen=True)
class _Child:
    """A process that runs.

    Args:
        pid: its number, and that of its session.
        handle: can be read from when it has ended.
        channel: to whom wants to know.
    """

    pid: int
    handle: int
    channel: socket.socket


@dataclass(frozen=True)
class _Ready:
    """A process that waits for its command.

    Args:
        pid: its number, and that of its session.
        line: on which it waits.
    """

    pid: int
    line: socket.socket


class Nursery:
    """Starts, ends and mourns children.

    Args:
        control: where commands come from.
    """

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._next: _Ready | None = None
        self._selector = selectors.DefaultSelector()
        self._selector.register(control, selectors.EVENT_READ, None)
        self._handles: dict[int, _Child] = {}

    def run(self) -> None:
        """Obey until the other end of the control socket is closed, then end all children."""
        while True:
            for key, _ in self._selector.select():
                child: _Child | None = key.data
                if child is None:
                    if not self._obey():
                        for left in self._handles.values():
                            _kill(left.pid)
                        return
                elif key.fd == child.handle:
                    self._ended(child)
                elif self._handles.get(child.handle) is child:  # both may come at once
                    self._selector.unregister(child.channel)
                    _kill(child.pid)

    def _obey(self) -> bool:
        """Take a command; return whether there was one."""
        message, files, _, _ = socket.recv_fds(self._control, MOST_MESSAGE, _FILES)
        if not message:
            return False
        try:
            pid = self._taken(message, files[:2])
        except OSError:  # no room for one more: the closed channel tells it
            traceback.print_exc()
            for file in files:
                os.close(file)
            return True
        for file in files[:2]:
            os.close(file)
        child = _Child(pid, os.pidfd_open(pid), socket.socket(fileno=files[2]))
        self._handles[child.handle] = child
        self._selector.register(child.handle, selectors.EVENT_READ, child)
        self._selector.register(child.channel, selectors.EVENT_READ, child)
        with contextlib.suppress(OSError):  # then the next command tries
            self._next = self._prepared()
        return True

    def _taken(self, message: bytes, files: Sequence[int]) -> int:
        """Give a command to the child that waits, or to a new one; return its number."""
        waiting, self._next = self._next, None
        if waiting:
            with waiting.line, contextlib.suppress(OSError):
                socket.send_fds(waiting.line, [message], files)
                return waiting.pid
            _kill(waiting.pid)  # it has ended already
            os.waitpid(waiting.pid, 0)
        fresh = self._prepared()
        with fresh.line:
            socket.send_fds(fresh.line, [message], files)
        return fresh.pid

    def _prepared(self) -> _Ready:
        """Return a new child, which waits."""
        line, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        parent = os.getpid()
        with theirs:
            try:
                pid = os.fork()
            except OSError:
                line.close()
                raise
            if pid == 0:
                _wait(theirs, parent)
        return _Ready(pid, line)

    def _ended(self, child: _Child) -> None:
        """End what the child has left behind, and tell its exit code."""
        _kill(child.pid)  # it is not waited for yet, so the number is still its own
        _, status = os.waitpid(child.pid, 0)
        self._selector.unregister(child.handle)
        with contextlib.suppress(KeyError):
            self._selector.unregister(child.channel)
        del self._handles[child.handle]
        os.close(child.handle)
        with contextlib.suppress(OSError):
            child.channel.sendall(b"%d" % os.waitstatus_to_exitcode(status))
        child.channel.close()


def _kill(pid: int) -> None:
    """Kill a child and its session; it may not have one yet."""
    for kill in (os.killpg, os.kill):
        with contextlib.suppress(ProcessLookupError):
            kill(pid, signal.SIGKILL)


def _wait(line: socket.socket, parent: int) -> NoReturn:
    """Wait for a command and become its program; never return."""
    code = 1
    try:
        die_with(parent)
        os.setsid()
        os.dup2(line.fileno(), 3)
        os.closerange(4, _HIGHEST_FILE)
        with socket.socket(fileno=3) as own:
            message, files, _, _ = socket.recv_fds(own, MOST_MESSAGE, _FILES)
        code = _be(message, files, parent) if message else 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def _be(message: bytes, files: list[int], parent: int) -> int:
    """Do what a command says; return the program's exit code."""
    command = json.loads(message)
    for own, file in enumerate(files, 1):
        os.dup2(file, own)
        os.close(file)
    os.environ.update(command["variables"])
    os.chdir(os.path.dirname(command["note"]))
    program = importlib.import_module(command["program"] + ".__main__")
    code: int = program.main([command["note"], str(parent)])
    sys.stdout.flush()
    return code


def main(arguments: list[str]) -> int:
    """Serve the socket whose number is the first argument; the second is the parent's process id.

    The others are modules to load; of "module:function" the function is called, once, before any child is forked.
    """
    die_with(int(arguments[1]))
    for name in arguments[2:]:
        module, _, function = name.partition(":")
        loaded = importlib.import_module(module)
        if function:
            getattr(loaded, function)()
    gc.collect()
    gc.freeze()  # a child that collects garbage need not copy what is here
    Nursery(socket.socket(fileno=int(arguments[0]))).run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
