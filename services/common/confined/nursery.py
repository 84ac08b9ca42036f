"""A process that has loaded what programs need and forks one for each command, which costs a fifteenth of a start.

`python -m services.common.confined.nursery SOCKET PARENT MODULE…` loads the modules and then obeys messages on the
socket. It opens nothing that a stranger wrote and holds no secret: its environment is that of its children. Each child
has a session of its own and confines itself as a process started anew does. With a message come three descriptors: the
child's standard output and error, and a channel. Whatever comes on the channel, its end included, kills the child with
all that it started; when the child has ended, its exit code goes out on the channel.
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
from dataclasses import dataclass
from typing import Any, NoReturn

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


class Nursery:
    """Starts, ends and mourns children.

    Args:
        control: where commands come from.
    """

    def __init__(self, control: socket.socket) -> None:
        self._control = control
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
        parent = os.getpid()
        try:
            pid = os.fork()
        except OSError:  # no room for one more: the closed channel tells it
            traceback.print_exc()
            for file in files:
                os.close(file)
            return True
        if pid == 0:
            _be(json.loads(message), files, parent)
        for file in files[:2]:
            os.close(file)
        child = _Child(pid, os.pidfd_open(pid), socket.socket(fileno=files[2]))
        self._handles[child.handle] = child
        self._selector.register(child.handle, selectors.EVENT_READ, child)
        self._selector.register(child.channel, selectors.EVENT_READ, child)
        return True

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


def _be(command: dict[str, Any], files: list[int], parent: int) -> NoReturn:
    """Become the program; never return."""
    code = 1
    try:
        os.setsid()
        os.dup2(files[0], 1)
        os.dup2(files[1], 2)
        os.closerange(3, _HIGHEST_FILE)
        os.environ.update(command["variables"])
        os.chdir(os.path.dirname(command["note"]))
        program = importlib.import_module(command["program"] + ".__main__")
        code = program.main([command["note"], str(parent)])
        sys.stdout.flush()
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


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
