"""Mounts that the kubelet itself makes, in the mount namespace of the bed."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

MNT_DETACH = 2
_libc = ctypes.CDLL(None, use_errno=True)


def mount_tmpfs(path: Path, size: str = "") -> None:
    """Mount an empty file system of memory; size is a Kubernetes quantity."""
    data = f"mode=777,size={size.removesuffix('i')}" if size else "mode=777"
    if _libc.mount(b"none", bytes(path), b"tmpfs", 0, data.encode()) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"tmpfs at {path}: {os.strerror(number)}")


def mount_file(source: Path, target: Path) -> None:
    """Show one file in the place of another."""
    if _libc.mount(bytes(source), bytes(target), None, 4096, None) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"mount {source} at {target}: {os.strerror(number)}")


def unmount(path: Path) -> None:
    """Take a mount away, at the latest when nobody uses it."""
    _libc.umount2(bytes(path), MNT_DETACH)
