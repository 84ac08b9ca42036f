"""A model's weights as safetensors files: read and written a tensor at a time, so that memory holds one shard."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

DEFAULT_SHARD_BYTES = 2_000_000_000
"""Most bytes of a weights file where nothing else is asked for."""
SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"


def read_tensors(folder: Path) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield the names and tensors of a model's folder, file by file; at most one is held.

    The files are read, not mapped: pages of a mapped file count as the process's memory for as long as it is open.
    """
    for path in weight_files(folder):
        with safe_open(path, framework="pt", backend="pread") as file:
            for name in file.keys():  # noqa: SIM118 - a safetensors file is no mapping
                yield name, file.get_tensor(name)


def weight_files(folder: Path) -> list[Path]:
    """Return the files that hold a model's weights: the one file, as transformers would, or those of its index."""
    index = folder / INDEX
    if index.is_file() and not (folder / SINGLE).is_file():
        weight_map = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        return [folder / name for name in sorted(set(weight_map.values()))]
    return [folder / SINGLE]


class ShardWriter:
    """Writes tensors into files of at most a size, in the Hugging Face layout.

    Args:
        folder: to write into.
        most: bytes of a file; a tensor larger than that gets a file of its own.
    """

    def __init__(self, folder: Path, most: int = DEFAULT_SHARD_BYTES) -> None:
        self._folder = folder
        self._most = most
        self._held: dict[str, torch.Tensor] = {}
        self._bytes = 0
        self._names: list[list[str]] = []
        self._total = 0

    def add(self, name: str, tensor: torch.Tensor) -> None:
        """Take a tensor; what was taken before is written if it would not fit beside it."""
        size = tensor.numel() * tensor.element_size()
        if self._held and self._bytes + size > self._most:
            self._write()
        self._held[name] = tensor.contiguous()
        self._bytes += size

    def close(self) -> None:
        """Write what is left, give the files their names, and write the index if there is more than one."""
        self._write()
        count = len(self._names)
        if count == 1:
            self._part(0).rename(self._folder / SINGLE)
            return
        names = [f"model-{place + 1:05d}-of-{count:05d}.safetensors" for place in range(count)]
        for place, name in enumerate(names):
            self._part(place).rename(self._folder / name)
        index = {
            "metadata": {"total_size": self._total},
            "weight_map": {tensor: names[place] for place, held in enumerate(self._names) for tensor in held},
        }
        (self._folder / INDEX).write_text(json.dumps(index, indent=2, sort_keys=True) + "\n", encoding="utf-8")

    def _part(self, place: int) -> Path:
        return self._folder / f"part-{place:05d}.safetensors"

    def _write(self) -> None:
        if self._held:
            save_file(self._held, self._part(len(self._names)), metadata={"format": "pt"})
            self._names.append(sorted(self._held))
            self._total += self._bytes
            self._held, self._bytes = {}, 0
