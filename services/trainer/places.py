"""A process's place among those that train together, and the notes that it leaves for its launcher.

Launcher and processes share one folder on their node: `pid-<n>` says that process n can be signalled, `met-<n>` that
its group has met, `code-<n>` how the work ended. What the library between them makes of exit codes and signals then
does not matter.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

FOLDER = "FTF_LAUNCH_FOLDER"
"""Variable that names the folder; set by the launcher, so that a process knows that it is one of a group."""

_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Place:
    """One process of a group.

    Args:
        rank: 0, 1, … over all nodes; 0 leads.
        size: processes in all.
        local: 0, 1, … on its node.
        master: host at which the group's store listens.
        port: its port.
        folder: the launcher's.
    """

    rank: int
    size: int
    local: int
    master: str
    port: int
    folder: Path

    def note(self, what: str, text: str = "") -> None:
        """Leave a note for the launcher, whole or not at all."""
        part = self.folder / f".{what}-{self.local}"
        part.write_text(text, encoding="utf-8")
        part.rename(self.folder / f"{what}-{self.local}")


def read_place(environment: Mapping[str, str]) -> Place | None:
    """Read the place that launcher and library put into an environment; None outside of a group."""
    if FOLDER not in environment:
        return None
    return Place(
        rank=int(environment["RANK"]),
        size=int(environment["WORLD_SIZE"]),
        local=int(environment["LOCAL_RANK"]),
        master=environment["MASTER_ADDR"],
        port=int(environment["MASTER_PORT"]),
        folder=Path(environment[FOLDER]),
    )


def notes(folder: Path, what: str) -> dict[int, str]:
    """Return the notes of one kind, by the process that left them."""
    found = {}
    for path in folder.glob(f"{what}-*"):
        found[int(path.name.rpartition("-")[2])] = path.read_text(encoding="utf-8")
    return found


def die_with_parent() -> None:
    """Let the system end this process when its parent ends, however that ends. Linux only; elsewhere nothing."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def quiet_errors() -> None:
    """Send standard error where standard output goes: the library's own words have a file of their own."""
    os.dup2(sys.stdout.fileno(), sys.stderr.fileno())
