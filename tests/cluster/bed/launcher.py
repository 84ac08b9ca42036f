"""Becomes one container's process: in the kubelet's name, it arranges what the process sees and then is that process.

    python -I -S launcher.py SPEC FD

SPEC is a JSON file: `root` (an empty folder), `mounts` ([{source, path, readOnly}]), `visible` (host paths that stay
visible whatever is mounted over them), `show` (those that may be written to as well), `readOnly` (of the root),
`hostname`, `workdir`, `argv`, `env`. FD, the end of a pipe, closes when the launcher has become the program.

It runs as process 1 of a PID namespace of its own, so that whatever the container started ends with it. Exits with 127
when the program does not exist and 128 when the container cannot be arranged, as container runtimes do.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
from typing import Any

NEWNS, NEWUTS, NEWIPC = 0x00020000, 0x04000000, 0x08000000
MS_RDONLY, MS_NOSUID, MS_REMOUNT, MS_BIND, MS_MOVE, MS_REC, MS_PRIVATE = 1, 2, 32, 4096, 8192, 16384, 1 << 18
MNT_DETACH, AT_RECURSIVE, AT_FDCWD = 2, 0x8000, -100
PIVOT_ROOT, MOUNT_SETATTR, PR_SET_PDEATHSIG = 155, 442, 1
DEVICES = ("null", "zero", "full", "random", "urandom", "tty")

libc = ctypes.CDLL(None, use_errno=True)


class MountAttributes(ctypes.Structure):
    """struct mount_attr of mount_setattr(2)."""

    _fields_ = tuple((name, ctypes.c_uint64) for name in ("set", "clear", "propagation", "userns"))


def checked(result: int, what: str) -> None:
    """Turn a failed system call into an OSError."""
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    """mount(2)."""
    arguments = (source.encode(), target.encode(), kind.encode() or None, flags, data.encode() or None)
    checked(libc.mount(*arguments), f"mount {source} at {target}")


def bind(source: str, target: str) -> None:
    """Show a host file or folder, with what is mounted in it, at a second place."""
    mount(source, target, flags=MS_BIND | MS_REC)


def read_only(path: str) -> None:
    """Take the right to write from a mount and from all mounts below it."""
    attributes = MountAttributes(set=MS_RDONLY)
    size = ctypes.c_size_t(ctypes.sizeof(attributes))
    checked(libc.syscall(MOUNT_SETATTR, AT_FDCWD, path.encode(), AT_RECURSIVE, ctypes.byref(attributes), size), path)


def show(source: str, target: str) -> None:
    """Show one entry of a host folder in a folder of our own."""
    if os.path.islink(source):
        os.symlink(os.readlink(source), target)
        return
    if os.path.isdir(source):
        os.mkdir(target)
    else:
        open(target, "w").close()
    bind(source, target)


def mirror(source: str, target: str, without: tuple[str, ...] = ()) -> None:
    """Replace a folder by one of our own with the same entries, so that new ones can be added and the host has none."""
    mount("none", target, "tmpfs", MS_NOSUID, "mode=755")
    for entry in sorted(os.listdir(source)):
        if entry not in without:
            show(os.path.join(source, entry), os.path.join(target, entry))


class Root:
    """The container's root folder while it is being put together."""

    def __init__(self, path: str) -> None:
        """Begin with the host's tree, without its devices and processes."""
        self.path = path
        self._own = {"/"}
        mirror("/", path, without=("dev", "proc", "lost+found"))
        for name in ("dev", "proc"):
            os.mkdir(f"{path}/{name}")
            self._own.add(f"/{name}")
        mount("none", f"{path}/dev", "tmpfs", MS_NOSUID, "mode=755")

    def place(self, path: str, folder: bool) -> str:
        """Make sure that something can be mounted at a path, and return where that is."""
        path = os.path.realpath("/" + path.strip("/"))
        if not os.path.lexists(self.path + path):
            self._own_parent(path)
            if folder:
                os.mkdir(self.path + path)
                self._own.add(path)
            else:
                open(self.path + path, "w").close()
        return self.path + path

    def _own_parent(self, path: str) -> None:
        """Make the parent of a path a folder of our own, with all that the host has there."""
        parent = os.path.dirname(path)
        if parent in self._own:
            return
        if any(parent.startswith(mounted + "/") or parent == mounted for mounted in self._own - {"/"}):
            os.makedirs(self.path + parent, exist_ok=True)
        elif os.path.isdir(parent):
            mirror(parent, self.path + parent)
        else:
            self.place(parent, folder=True)
        self._own.add(parent)

    def devices(self, log: str) -> None:
        """Fill /dev with what every container has."""
        dev = f"{self.path}/dev"
        for name in DEVICES:
            show(f"/dev/{name}", f"{dev}/{name}")
        for name, target in (("fd", "/proc/self/fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")):
            os.symlink(target, f"{dev}/{name}")
        os.mkdir(f"{dev}/shm")
        mount("none", f"{dev}/shm", "tmpfs", MS_NOSUID, "mode=1777,size=64m")
        show(log, f"{dev}/termination-log")


def arrange(spec: dict[str, Any]) -> None:
    """Put the container's tree together and make it the root."""
    checked(libc.unshare(NEWNS | NEWUTS | NEWIPC), "unshare")
    mount("none", "/", flags=MS_REC | MS_PRIVATE)
    checked(libc.sethostname(spec["hostname"].encode(), len(spec["hostname"].encode())), "sethostname")
    root = Root(spec["root"])
    root.devices(spec["terminationLog"])
    mounts = sorted(spec["mounts"], key=lambda entry: str(entry["path"]).count("/"))
    for entry in mounts:
        root.place(entry["path"], os.path.isdir(entry["source"]))
    if spec["readOnly"]:
        read_only(root.path)
        for name in ("shm", "termination-log"):
            again = MountAttributes(clear=MS_RDONLY)
            size = ctypes.c_size_t(ctypes.sizeof(again))
            path = f"{root.path}/dev/{name}".encode()
            checked(libc.syscall(MOUNT_SETATTR, AT_FDCWD, path, 0, ctypes.byref(again), size), name)
    for entry in mounts:
        place = root.place(entry["path"], os.path.isdir(entry["source"]))
        bind(entry["source"], place)
        if entry["readOnly"]:
            read_only(place)
    for path in (*spec["visible"], *spec["show"]):
        # A folder of that name may lie in a volume that is mounted over it: an earlier start made it there.
        if path in spec["show"] or not (os.path.exists(root.path + path) and os.path.samefile(path, root.path + path)):
            os.makedirs(root.path + path, exist_ok=True)
            bind(path, root.path + path)
    mount("proc", f"{root.path}/proc", "proc")
    enter(root.path)


def enter(path: str) -> None:
    """Make a folder the root of the file system, and let go of the old one."""
    os.chdir(path)
    if libc.syscall(PIVOT_ROOT, b".", b".") == 0:
        checked(libc.umount2(b".", MNT_DETACH), "umount of the old root")
    else:
        mount(".", "/", flags=MS_MOVE)
        os.chroot(".")
    os.chdir("/")


def main() -> None:
    """Read the specification, arrange everything, and become the program."""
    with open(sys.argv[1], encoding="utf-8") as file:
        spec = json.load(file)
    os.set_inheritable(int(sys.argv[2]), False)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        arrange(spec)
        os.chdir(spec["workdir"])
    except OSError as error:
        print(f"the container cannot be arranged: {error}", file=sys.stderr)
        os._exit(128)
    try:
        os.execvpe(spec["argv"][0], spec["argv"], spec["env"])
    except OSError as error:
        print(f"exec: {spec['argv'][0]!r}: {error.strerror}", file=sys.stderr)
        os._exit(127)


main()
