"""What the program makes of the machine or pod around it: folders that can be written, a last word, the libraries."""

from __future__ import annotations

import contextlib
import os
import pwd
from collections.abc import MutableMapping
from pathlib import Path

from services.trainer.logs import quiet_libraries

TERMINATION_LOG = Path("/dev/termination-log")
"""Where Kubernetes reads a container's last word, for `kubectl describe`; a file that it makes itself."""
_LAST_WORD = 2_000


def settle_in(environment: MutableMapping[str, str], folder: Path) -> None:
    """Give the libraries folders that they may write to.

    In a pod the root is read-only and the user has neither a name nor a home. The libraries would then write their
    caches where they stand, or fail.

    Args:
        environment: the process's own.
        folder: scratch folder of the work.
    """
    home = environment.get("HOME", "")
    if not home or not os.access(home, os.W_OK):
        own = folder / "home"
        own.mkdir(parents=True, exist_ok=True)
        environment["HOME"] = str(own)
    with contextlib.suppress(KeyError):
        pwd.getpwuid(os.getuid())
        return
    environment.setdefault("USER", "trainer")
    environment.setdefault("LOGNAME", "trainer")


def prepare_libraries(environment: MutableMapping[str, str], offline: bool) -> None:
    """Set what the libraries read from the environment when they are imported, and quieten them.

    No telemetry. No hub for a model in a folder. One GPU without a distributed launcher: the first of those that may be
    seen, for with several in one process the library would divide every batch among copies of the model.

    Args:
        environment: the process's own.
        offline: whether no hub is needed.
    """
    environment["HF_HUB_DISABLE_TELEMETRY"] = "1"
    environment.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    environment.setdefault("TOKENIZERS_PARALLELISM", "false")
    if offline:
        environment["HF_HUB_OFFLINE"] = "1"
    if "WORLD_SIZE" not in environment:
        environment["CUDA_VISIBLE_DEVICES"] = environment.get("CUDA_VISIBLE_DEVICES", "0").partition(",")[0]
    quiet_libraries()


def last_word(text: str, path: Path = TERMINATION_LOG) -> None:
    """Leave a line where Kubernetes looks for it. Never fails, and makes no file that is not there."""
    with contextlib.suppress(OSError):
        if path.is_file() and path.stat().st_size == 0:
            path.write_text(text[:_LAST_WORD], encoding="utf-8")
