"""What a container leaves of a machine: the limits of control groups, version 1 or 2."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

_UNLIMITED = 1 << 60
"""Version 1 writes "no limit" as a number near 2^63."""


class ControlGroup:
    """The control group of this process and those around it; each limits all inside, so the smallest counts.

    A file that is missing or unreadable limits nothing.
    """

    def __init__(self, root: Path = Path("/sys/fs/cgroup"), membership: Path = Path("/proc/self/cgroup")) -> None:
        self._root = root
        self._membership = membership

    def cpus(self) -> float | None:
        """Return how many CPUs the quota gives, or None where there is no quota."""
        quotas = [_cpu_max(folder / "cpu.max") for folder in self._folders("")]
        quotas += [_cpu_quota(folder) for folder in self._folders("cpu")]
        return min((quota for quota in quotas if quota is not None), default=None)

    def memory(self) -> tuple[int, int] | None:
        """Return the tightest limit and what is free below it, in bytes, or None where there is no limit.

        File pages that the kernel would give back at once count as free.
        """
        found = [_memory(f, "memory.max", "memory.current", "inactive_file") for f in self._folders("")]
        v1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        found += [_memory(folder, *v1) for folder in self._folders("memory")]
        limits = [limit for limit in found if limit is not None]
        if not limits:
            return None
        return min(total for total, _ in limits), min(free for _, free in limits)

    def _folders(self, controller: str) -> Iterator[Path]:
        """Yield the group's folder and those above it; controller "" means version 2."""
        inner = self._path(controller)
        if inner is None:
            return
        base = self._root / controller if controller else self._root
        folder = base / inner.lstrip("/")
        while folder != base and base in folder.parents:
            yield folder
            folder = folder.parent
        yield base

    def _path(self, controller: str) -> str | None:
        for line in _read(self._membership).splitlines():
            _, controllers, path = (*line.split(":", 2), "", "")[:3]
            if controller in controllers.split(","):
                # Without a namespace of its own a container may see ".." here: then only the root is its own.
                return "/" if ".." in path else path
        return None


def _memory(folder: Path, limit_file: str, used_file: str, reclaimable: str) -> tuple[int, int] | None:
    limit, used = _number(folder / limit_file), _number(folder / used_file)
    if limit is None or limit >= _UNLIMITED:
        return None
    stat = dict(line.split(" ", 1) for line in _read(folder / "memory.stat").splitlines() if " " in line)
    cached = int(stat.get(reclaimable, "0"))
    return limit, max(0, limit - max(0, (used or 0) - cached))


def _cpu_max(path: Path) -> float | None:
    parts = _read(path).split()
    if len(parts) != 2 or not parts[0].isdigit():
        return None
    return int(parts[0]) / int(parts[1])


def _cpu_quota(folder: Path) -> float | None:
    quota, period = _number(folder / "cpu.cfs_quota_us"), _number(folder / "cpu.cfs_period_us")
    return quota / period if quota and period and quota > 0 else None


def _number(path: Path) -> int | None:
    text = _read(path).strip()
    return int(text) if text.lstrip("-").isdigit() else None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def whole_cores(affinity: int, quota: float | None) -> int:
    """Return the cores that a process may use: its affinity, cut to the quota rounded up, at least 1."""
    return max(1, affinity if quota is None else min(affinity, math.ceil(quota)))


def usable_cores() -> int:
    """Return how many cores this process may use."""
    return whole_cores(len(os.sched_getaffinity(0)), ControlGroup().cpus())
