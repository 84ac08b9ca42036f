"""What a run has yet to fetch of a hub's model, onto the disk that it is judged by."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from huggingface_hub import try_to_load_from_cache

from services.hardware.core_model import WEIGHTS, File

_PART = re.compile(r".+-\d+-of-\d+\.safetensors")


class HubCache:
    """The library's cache on this machine, which trainers share.

    Args:
        folder: of the cache; it need not exist.
        runs: where runs keep their files; a cache on another disk takes nothing of theirs.
    """

    def __init__(self, folder: Path, runs: Path) -> None:
        self._folder = folder
        self._runs = runs

    def missing(self, hub_id: str, revision: str, files: Sequence[File]) -> int:
        """Return the bytes of weights that are not there yet; 0 where they come to another disk. Blocks for a moment.

        Args:
            hub_id: of the model.
            revision: its commit.
            files: all of its files.
        """
        if existing(self._folder).stat().st_dev != existing(self._runs).stat().st_dev:
            return 0
        return sum(file.size_bytes for file in weights(files) if not self._has(hub_id, revision, file.filename))

    def _has(self, hub_id: str, revision: str, filename: str) -> bool:
        found = try_to_load_from_cache(hub_id, filename, cache_dir=self._folder, revision=revision)
        return isinstance(found, str)


def weights(files: Sequence[File]) -> list[File]:
    """Return the files that transformers loads weights from: the whole in one, or its parts."""
    whole = [file for file in files if file.filename == WEIGHTS]
    return whole or [file for file in files if _PART.fullmatch(file.filename)]


def existing(folder: Path) -> Path:
    """Return the folder, or the nearest one above it that exists."""
    return next((path for path in (folder, *folder.parents) if path.exists()), Path("/"))
