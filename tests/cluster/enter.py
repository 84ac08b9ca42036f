"""Run a command inside the namespaces of the bed: python tests/cluster/enter.py COMMAND …

A network of its own in which every address of 10.244.0.0/16 is local, so that each pod has one and nothing leaves; a
mount tree of its own; and a PID namespace, so that every process ends with the command. It needs root, or a kernel that
lets users make namespaces. Where it may not, it says so and exits with 1.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NoReturn

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.cluster import binaries

ADDRESS, MASK = "10.244.0.1", "255.255.0.0"
SIOCSIFADDR, SIOCSIFNETMASK, SIOCGIFFLAGS, SIOCSIFFLAGS = 0x8916, 0x891C, 0x8913, 0x8914
IFF_UP = 1
MS_BIND, MS_REC, MS_PRIVATE = 4096, 16384, 1 << 18
MNT_DETACH = 2
libc = ctypes.CDLL(None, use_errno=True)
RESOLVER = "nameserver 10.244.0.2\nsearch svc.cluster.local cluster.local\noptions ndots:5 timeout:1 attempts:3\n"


def raise_loopback() -> None:
    """Bring lo up, and make the addresses of the pods local through an alias of it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sH14s", b"lo", 0, b"")
        flags = struct.unpack("16sH14s", fcntl.ioctl(control, SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sH14s", b"lo", flags | IFF_UP, b""))
        for call, value in ((SIOCSIFADDR, ADDRESS), (SIOCSIFNETMASK, MASK)):
            address = struct.pack("HH4s8s", socket.AF_INET, 0, socket.inet_aton(value), b"")
            fcntl.ioctl(control, call, struct.pack("16s16s", b"lo:bed", address))


def own_resolver(folder: Path) -> None:
    """Let programs of the bed ask its DNS. The file must last: nothing can be mounted over one that was removed."""
    file = folder / "resolv.conf"
    file.write_text(RESOLVER, encoding="utf-8")
    libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None)
    target = os.path.realpath("/etc/resolv.conf")
    if libc.mount(bytes(file), target.encode(), None, MS_BIND, None) != 0:
        raise OSError(ctypes.get_errno(), f"{target} cannot be replaced")


def inside(command: list[str]) -> int:
    """Set the namespaces up and run the command in them, as process 1."""
    if os.getpid() != 1:
        raise SystemExit("--inside is for process 1 of the bed's namespaces: it ends every other process it can see.")
    raise_loopback()
    with tempfile.TemporaryDirectory(prefix="ftf-bed-", ignore_cleanup_errors=True) as folder:
        own_resolver(Path(folder))
        code = run(command, folder)
        end_others()
        unmount_below(folder)
    return code


def end_others() -> None:
    """Kill all that is left in the PID namespace, and wait until it has gone."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(-1, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        while True:
            os.wait()


def unmount_below(folder: str) -> None:
    """Take away what is mounted in the bed's folder, so that it can be removed."""
    for line in reversed(Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()):
        if line.split()[1].startswith(folder):
            libc.umount2(line.split()[1].encode(), MNT_DETACH)


def run(command: list[str], folder: str) -> int:
    """Run the command; pass SIGTERM on to it; reap what others leave behind. Returns its exit code."""
    child = subprocess.Popen(
        command, env=os.environ | {"FTF_IN_BED": "1", "FTF_CLUSTER_BIN": str(binaries.folder()), "FTF_BED": folder}
    )
    signal.signal(signal.SIGTERM, lambda number, _: child.send_signal(number))
    # A terminal tells the whole group.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        pid, status = os.wait()
        if pid == child.pid:
            return os.waitstatus_to_exitcode(status)


def enter(command: list[str]) -> NoReturn:
    """Become process 1 of new namespaces that runs the command."""
    own = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    own += [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    if shutil.which("unshare") is None:
        raise SystemExit("The test bed needs the program `unshare` (util-linux).")
    tried = subprocess.run([*own, "true"], capture_output=True, text=True)
    if tried.returncode != 0:
        raise SystemExit(
            "The test bed needs namespaces of its own, and this machine does not let it make them: "
            f"{tried.stderr.strip()}. Run it as root, or let users make namespaces (sysctl user.max_user_namespaces, "
            "kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns)."
        )
    os.execvp(own[0], [*own, sys.executable, __file__, "--inside", *command])


if __name__ == "__main__":
    if sys.argv[1] == "--inside":
        sys.exit(inside(sys.argv[2:]))
    enter(sys.argv[1:])
